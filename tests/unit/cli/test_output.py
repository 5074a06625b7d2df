"""What the commands print."""

import json
import math

import pytest

from cli.output import (
    console,
    neighbours_as_json,
    print_json,
    print_neighbours,
    print_scores,
    to_json,
)
from ml.evaluation.scores import ScoreRow
from search.similarity import Neighbour

NEIGHBOUR = Neighbour(
    1, "id [a]", "Night :smile: [live]", "AC[/]DC", ["r&b", "[soul]"], [], 0.25, 0.9, 5000, 15000, 3
)


def row(encoder: str, annotation: str, low: float = 0.1) -> ScoreRow:
    return {
        "encoder": encoder,
        "protocol": "paper",
        "annotation": annotation,
        "map": 0.25,
        "low": low,
        "high": 0.4,
        "chance": 0.125,
        "n": 6,
    }


def test_json_has_null_for_what_is_not_a_number() -> None:
    answer = {"rows": [{"low": math.nan, "high": math.inf, "map": 0.5, "n": 3}], "pair": (1, "a")}
    expected = {"rows": [{"low": None, "high": None, "map": 0.5, "n": 3}], "pair": [1, "a"]}
    assert json.loads(to_json(answer)) == expected


def test_printed_json_is_json_whatever_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(neighbours_as_json([NEIGHBOUR]))
    (found,) = json.loads(capsys.readouterr().out)
    assert found["title"] == NEIGHBOUR.title
    assert found["genres"] == ["r&b", "[soul]"]
    assert (found["distance"], found["start_ms"], found["model_version"]) == (0.25, 5000, 3)


def test_titles_are_printed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_width", 200)
    with console.capture() as capture:
        print_neighbours("Sounds like [/this]", [NEIGHBOUR])
    printed = capture.get()
    for text in ("[/this]", "id [a]", "Night :smile: [live]", "AC[/]DC", "r&b, [soul]", "5-15 s"):
        assert text in printed


def test_scores_have_a_row_for_each_encoder_and_one_for_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "_width", 200)
    rows = [row(name, kind) for name in ("random", "exports/[1]") for kind in ("genre", "track")]
    with console.capture() as capture:
        print_scores("Table 1 on [a]", [*rows, row("random", "mood", math.nan)])
    lines = capture.get().splitlines()
    assert "Table 1 on [a]" in lines[0]
    (chance,) = [line for line in lines if "(chance)" in line]
    assert chance.count("0.1250") == 3
    (random,) = [line for line in lines if "random" in line]
    assert random.count("0.2500") == 3
    assert random.count("[0.10, 0.40]") == 2, "no interval where there is none"
    (other,) = [line for line in lines if "exports/[1]" in line]
    assert other.count("0.2500") == 2
