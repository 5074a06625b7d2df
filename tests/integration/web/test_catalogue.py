"""Tracks, their audio and peaks, facets and the map, through the real server."""

import io
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
import soundfile

from search.switching import activate_whole
from search.takedown import lift_takedown, take_down

if TYPE_CHECKING:
    from tests.integration.web.conftest import Site


def test_tracks_are_found_by_part_of_their_title(site: "Site") -> None:
    everything = site.ask("GET", "/tracks?limit=100").json()
    assert len(everything["tracks"]) == 38
    assert everything["next_cursor"] is None
    title = everything["tracks"][5]["title"]
    found = site.ask("GET", "/tracks", params={"q": title.upper()}).json()["tracks"]
    assert title in {track["title"] for track in found}
    assert site.ask("GET", "/tracks?q=%25").json()["tracks"] == []


def test_pages_of_tracks_add_up(site: "Site") -> None:
    ids: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = site.ask("GET", f"/tracks?limit=15&cursor={cursor}").json()
        ids += [track["track_id"] for track in page["tracks"]]
        cursor = page["next_cursor"]
    assert sorted(ids) == site.ids


def test_audio_is_the_original_file_by_ranges(site: "Site") -> None:
    track_id = site.ids[0]
    content = site.file(track_id)
    whole = site.ask("GET", f"/tracks/{track_id}/audio")
    assert whole.content == content
    assert whole.headers["Content-Type"] == "audio/wav"
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = site.ask("GET", f"/tracks/{track_id}/audio", headers={"Range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == content[100:300]
    beyond = site.ask("GET", f"/tracks/{track_id}/audio", headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416


def test_peaks_are_those_of_the_file(site: "Site") -> None:
    track_id = site.ids[0]
    answer = site.ask("GET", f"/tracks/{track_id}/peaks")
    peaks = answer.json()
    assert (peaks["duration_ms"], peaks["points_per_second"]) == (12_000, 10)
    samples, _ = soundfile.read(io.BytesIO(site.file(track_id)))
    expected = np.abs(samples.reshape(-1, 1600)).max(axis=1)
    assert peaks["peaks"] == pytest.approx(expected.tolist(), abs=0.01)
    excerpt = peaks["excerpt"]
    assert excerpt["end_ms"] - excerpt["start_ms"] == 10_000
    heard = site.search(track_id=track_id, start_ms=excerpt["start_ms"], end_ms=excerpt["end_ms"])
    assert excerpt["loudness_lufs"] == heard["query"]["loudness_lufs"]
    again = site.ask(
        "GET", f"/tracks/{track_id}/peaks", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_facets_count_tracks(site: "Site") -> None:
    facets = site.ask("GET", "/facets").json()
    assert {facet["name"] for facet in facets["genres"]} == {"rise", "fall"}
    assert sum(facet["tracks"] for facet in facets["genres"]) == 38
    assert len(facets["artists"]) == 8


def test_map_places_every_track(site: "Site") -> None:
    found = site.ask("GET", "/map").json()
    assert found["model_version"] == 1
    assert 0.5 < found["trustworthiness"] <= 1
    assert sorted(point["track_id"] for point in found["points"]) == site.ids
    assert all(0 <= point[axis] <= 1 for point in found["points"] for axis in "xy")


def test_active_model_and_health(site: "Site") -> None:
    active = site.ask("GET", "/models/active").json()
    assert (active["version"], active["name"]) == (1, "music-encoder")
    assert active["metrics"]["recall"] > 0.98
    assert requests.get(f"{site.url}/healthz", timeout=10).json()["status"] == "ok"
    assert requests.get(f"{site.url}/readyz", timeout=10).json()["checks"]["model"] == "ok"
    metrics = requests.get(f"{site.url}/metrics", timeout=10).text
    assert 'soundalike_request_seconds_count{method="GET",route="/api/v1/models/active"' in metrics


def test_taken_down_track_is_gone_at_once(site: "Site") -> None:
    track_id = site.ids[7]
    wanted = {"track_id": site.ids[0], "start_ms": 0, "k": 50}
    with site.home.database() as database:
        take_down(database, site.home.registry, site.home.workspace, track_id, "test")
        try:
            for address in ("", "/audio", "/peaks"):
                assert site.ask("GET", f"/tracks/{track_id}{address}").status_code == 404
            named = {r["track_id"] for r in site.search(**wanted)["results"]}
            assert track_id not in named
            points = site.ask("GET", "/map").json()["points"]
            assert track_id not in {point["track_id"] for point in points}
            refused = site.ask("POST", "/searches", json={"track_id": track_id})
            assert refused.status_code == 404
        finally:
            lift_takedown(database, site.home.workspace, track_id)


def test_server_is_ready_once_uploads_are_warm(site: "Site") -> None:
    """Its log tells in which order: no `/readyz` says yes before an upload was embedded."""
    assert requests.get(f"{site.url}/readyz", timeout=10).json()["checks"]["uploads"] == "ok"
    asked: list[dict[str, Any]] = []
    while not asked or asked[-1]["status"] != 200:  # it is noted once the answer is out
        lines = [json.loads(line) for line in site.log.read_text().splitlines()]
        asked = [line for line in lines if line.get("path") == "/readyz"]
    warm = next(line for line in lines if line["message"] == "warm")
    early = {line["status"] for line in asked if lines.index(line) < lines.index(warm)}
    assert early <= {503}
    assert warm["version"] == 1


def test_version_that_becomes_active_is_warmed(site: "Site") -> None:
    """What it warms itself for is seen by its asking for the encoder before any upload does."""
    with site.home.database() as database:
        activate_whole(database, 2)
        try:
            while '"message": "warm", "version": 2' not in site.log.read_text():
                time.sleep(0.1)
        finally:
            activate_whole(database, 1)
