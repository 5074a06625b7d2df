"""The gate passes what is better, and refuses everything else with a reason."""

import math

import pytest

from ml.evaluation.scores import ScoreRow
from ml.gate import GateSettings, Verdict, judge

RANDOM = {"genre": 0.33, "mood": 0.33, "track": 0.05}
BASELINE = {"genre": 0.45, "mood": 0.38, "track": 0.60}
GOOD = {"genre": 0.60, "mood": 0.45, "track": 0.80}


def rows(maps: dict[str, float], chance: float = 0.33, protocol: str = "paper") -> list[ScoreRow]:
    return [
        ScoreRow(
            encoder="x",
            protocol=protocol,
            annotation=annotation,
            map=value,
            low=value,
            high=value,
            chance=chance,
            n=8,
        )
        for annotation, value in maps.items()
    ]


def verdict_on(
    candidate: dict[str, float],
    production: dict[str, float] | None = None,
    settings: GateSettings | None = None,
) -> Verdict:
    incumbent = None if production is None else rows(production)
    return judge(rows(candidate), rows(RANDOM), rows(BASELINE), incumbent, settings)


def refusals(verdict: Verdict) -> list[tuple[str, str]]:
    assert not verdict.passed
    return [(c.against, c.annotation) for c in verdict.comparisons if not c.met]


def test_gate_passes_a_better_encoder_when_there_is_no_production() -> None:
    verdict = verdict_on(GOOD)
    assert verdict.passed
    assert verdict.reasons == (
        "The mean mAP is 0.6167 against 0.4767 of baseline: enough, 0.4767 was needed.",
    )


def test_gate_refuses_an_encoder_no_clearer_than_random_in_one_annotation() -> None:
    assert refusals(verdict_on(GOOD | {"mood": 0.34})) == [("random", "mood")]


def test_gate_refuses_a_mean_that_only_equals_the_baseline() -> None:
    assert refusals(verdict_on(BASELINE)) == [("baseline", "mean")]


def test_gate_refuses_less_genre_than_the_baseline_whatever_the_mean() -> None:
    verdict = verdict_on(GOOD | {"genre": 0.44})
    assert refusals(verdict) == [("baseline", "genre")]
    assert verdict.reasons == (
        "Genre mAP is 0.4400 against 0.4500 of baseline: too low, 0.4500 was needed.",
    )


def test_gate_passes_an_equal_of_production_and_refuses_a_worse_one() -> None:
    assert verdict_on(GOOD, production=GOOD).passed
    assert verdict_on(GOOD, production=GOOD | {"genre": 0.61}).passed
    assert refusals(verdict_on(GOOD, GOOD | {"genre": 0.63})) == [("production", "mean")]


def test_gate_refuses_one_annotation_bought_with_another() -> None:
    bought = {"genre": 0.85, "mood": 0.45, "track": 0.65}
    assert refusals(verdict_on(bought, GOOD)) == [("production", "track")]


def test_gate_weighs_annotations_as_told() -> None:
    settings = GateSettings(genre_weight=0, mood_weight=0)
    assert verdict_on({"genre": 0.1, "mood": 0.1, "track": 0.7}, settings=settings).passed


def test_gate_leaves_out_an_annotation_that_nobody_has() -> None:
    candidate, random, baseline = (
        rows({a: value for a, value in maps.items() if a != "mood"})
        for maps in (GOOD, RANDOM, BASELINE)
    )
    assert judge(candidate, random, baseline).passed


@pytest.mark.parametrize("broken", ["candidate", "random", "baseline", "production"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_gate_refuses_missing_scores_by_name(broken: str, value: float | None) -> None:
    encoders = {
        "candidate": rows(GOOD),
        "random": rows(RANDOM),
        "baseline": rows(BASELINE),
        "production": rows(GOOD),
    }
    if value is None:
        encoders[broken].pop(0)
    else:
        encoders[broken][0]["map"] = value
    verdict = judge(
        encoders["candidate"], encoders["random"], encoders["baseline"], encoders["production"]
    )
    assert not verdict.passed
    assert any(f"The {broken} encoder" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("protocol", ["paper", "xt"])
def test_gate_never_passes_on_nothing(protocol: str) -> None:
    absent: list[ScoreRow] = [] if protocol == "paper" else rows(GOOD, protocol="xt")
    verdict = judge(absent, absent, absent)
    assert not verdict.passed
    assert "evaluate again" in verdict.reasons[0]


def test_gate_refuses_scores_of_different_clips() -> None:
    verdict = judge(rows(GOOD), rows(RANDOM), rows(BASELINE), rows(GOOD, chance=0.31))
    assert not verdict.passed
    assert "different clips" in verdict.reasons[0]


def test_gate_refuses_rows_of_two_encoders_at_once() -> None:
    verdict = judge(rows(GOOD) + rows(GOOD), rows(RANDOM), rows(BASELINE))
    assert not verdict.passed
    assert "two scores" in verdict.reasons[0]
