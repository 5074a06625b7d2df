"""A listening study from its beginning to its report, through the real server and commands."""

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import requests
import soundfile

from search.study.baseline import load_baseline

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.web.conftest import Site

SYSTEMS = ["production", "baseline", "random"]


@pytest.fixture(scope="module")
def study(site: "Site") -> dict[str, Any]:
    """Begin a study of all systems."""
    design = {"name": "Test", "raters": 2, "queries": 2, "results": 2, "systems": SYSTEMS}
    refused = site.ask("POST", "/studies", json=design)
    assert (refused.status_code, refused.json()["code"]) == (409, "baseline_missing")
    assert site.ask("GET", "/studies").json()["systems"] == ["production", "random"]
    with site.home.database() as database:
        windows = 2 * len(site.ids)  # of the tracks that were not taken down
        assert load_baseline(database, site.home.registry(), site.home.workspace) == windows
        assert load_baseline(database, site.home.registry(), site.home.workspace) == 0
    made = site.ask("POST", "/studies", json=design)
    assert made.status_code == 201, made.text
    assert site.ask("GET", "/studies").json()["systems"] == SYSTEMS
    answer: dict[str, Any] = made.json()
    return answer


def choose(site: "Site", study: dict[str, Any], rater: str, track_id: str) -> requests.Response:
    wanted = {"rater": rater, "track_id": track_id, "start_ms": 0}
    return site.ask("POST", f"/studies/{study['study_id']}/queries", json=wanted)


def test_study_from_start_to_report(site: "Site", study: dict[str, Any], tmp_path: "Path") -> None:
    address = f"/studies/{study['study_id']}"
    first = choose(site, study, "ann", site.ids[0])
    assert first.status_code == 201, first.text
    query = first.json()
    items = query["items"]
    assert 3 <= len(items) <= 8  # two of each system, some of them the same, and two planted
    assert [item["order"] for item in items] == list(range(1, len(items) + 1))
    told = json.dumps(items)
    assert not any(word in told for word in (*SYSTEMS, *site.ids, "planted"))
    assert all(-20 <= item["gain_db"] <= 0 for item in items)
    heard = requests.get(
        site.url + items[0]["audio_url"], headers={"Range": "bytes=0-3"}, timeout=10
    )
    assert (heard.status_code, heard.content) == (206, b"RIFF")

    again = choose(site, study, "bob", site.ids[0]).json()  # the same query has the same items
    assert [item["gain_db"] for item in again["items"]] == [item["gain_db"] for item in items]
    assert choose(site, study, "cat", site.ids[0]).json()["code"] == "study_full"

    for rater, asked in (("ann", query), ("bob", again)):
        for number, item in enumerate(asked["items"]):
            rating = {"item_id": item["item_id"], "rater": rater, "rating": number % 11}
            assert site.ask("PUT", f"{address}/ratings", json=rating).status_code == 204
    other = {"item_id": items[0]["item_id"], "rater": "bob", "rating": 5}
    assert site.ask("PUT", f"{address}/ratings", json=other).status_code == 404

    state = site.ask("GET", f"{address}/raters/ann").json()  # resumed, after a break
    assert (state["queries_left"], state["ratings_left"]) == (1, 0)
    assert [item["rating"] for item in state["queries"][0]["items"]] == list(range(len(items)))

    report = site.ask("GET", f"{address}/report").json()
    assert {row["system"] for row in report["systems"]} == set(SYSTEMS)
    assert all(
        row["n"] == 4 and row["low"] <= row["mos"] <= row["high"] for row in report["systems"]
    )
    assert report["agreement"]["krippendorff_alpha"] == pytest.approx(1)
    assert report["agreement"]["units"] == len(items)
    assert report["paper_mos"] == 7.8
    assert {rater["rater"] for rater in report["raters"]} == {"ann", "bob"}

    rows = pd.read_csv(io.StringIO(site.ask("GET", f"{address}/report.csv").text))
    assert len(rows) == 2 * len(items)
    assert set(rows["planted"].dropna()) == {"query", "random"}
    printed = site.home.run("soundalike", "study", "report", study["study_id"], "--json")
    assert json.loads(printed.stdout)["systems"] == report["systems"]
    file = tmp_path / "triplets.csv"
    done = site.home.run("soundalike", "study", "triplets", str(file), study["study_id"])
    assert done.returncode == 0, done.stdout
    triplets = pd.read_csv(file)
    assert set(triplets["a_track_id"]) == {site.ids[0]}
    assert (triplets["margin"] >= 2).all()


def test_rater_searches_by_a_file_of_their_own(site: "Site", study: dict[str, Any]) -> None:
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000 * 11)
    soundfile.write(file, samples, 16_000, format="FLAC")
    answer = site.ask(
        "POST",
        f"/studies/{study['study_id']}/queries",
        files={"file": ("mine", file.getvalue())},
        data={"rater": "ann", "start_ms": "0"},
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["track_id"] is None
    full = choose(site, study, "ann", site.ids[0])
    assert (full.status_code, full.json()["code"]) == (409, "study_full")


def test_file_is_searched_by_command(site: "Site") -> None:
    track_id = site.ids[4]
    file = site.home.manifest.parent / f"{track_id}.wav"
    done = site.home.run("soundalike", "search", str(file), "--from", "0", "--to", "10", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)[0]["track_id"] == track_id
    refused = site.home.run("soundalike", "search", str(file), "--to", "1")
    assert refused.returncode == 1
    assert "2 to 60 seconds" in refused.stdout
