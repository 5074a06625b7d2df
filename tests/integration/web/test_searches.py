"""Searches through the real server: segments, uploads, examples, filters and pages."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from tests.integration.web.conftest import Site


def found(answer: dict[str, Any]) -> list[str]:
    return [result["track_id"] for result in answer["results"]]


def test_segment_finds_other_tracks_nearest_first(site: "Site") -> None:
    track_id = site.ids[0]
    answer = site.search(track_id=track_id, start_ms=1000, end_ms=11_000, k=10)
    assert answer["model_version"] == 1
    assert answer["query"]["kind"] == "segment"
    assert answer["query"]["windows"] == 1
    assert answer["query"]["loudness_lufs"] < 0
    results = answer["results"]
    assert [result["rank"] for result in results] == list(range(1, 11))
    assert track_id not in found(answer)
    distances = [result["distance"] for result in results]
    assert distances == sorted(distances)
    for result in results:
        expected = 100 * (1 - result["distance"] ** 2 / 4)
        assert result["similarity"] == pytest.approx(expected, abs=0.06)
        assert result["end_ms"] - result["start_ms"] == 10_000
        assert result["duration_ms"] == 12_000


def test_region_of_two_windows_is_their_mean(site: "Site") -> None:
    answer = site.search(track_id=site.ids[0], start_ms=0, end_ms=12_000)
    assert answer["query"]["windows"] == 2
    assert answer["query"]["end_ms"] == 12_000


def test_pages_add_up_to_one_long_answer(site: "Site") -> None:
    wanted = {"track_id": site.ids[0], "start_ms": 0}
    whole = found(site.search(**wanted, k=24))
    answer = site.search(**wanted, k=10)
    pages = found(answer)
    while len(pages) < 24:
        answer = site.search(cursor=answer["next_cursor"])
        pages += found(answer)
    assert pages[:24] == whole
    assert len(set(pages)) == len(pages)
    while answer["next_cursor"]:
        answer = site.search(cursor=answer["next_cursor"])
    assert len(answer["results"]) <= 10


def test_upload_finds_its_own_track(site: "Site") -> None:
    track_id = site.ids[3]
    answer = site.upload(site.file(track_id), start_ms=0, end_ms=10_000)
    assert answer.status_code == 200, answer.text
    first = answer.json()["results"][0]
    assert (first["track_id"], first["start_ms"]) == (track_id, 0)
    assert first["distance"] < 0.01
    stages = {part.partition(";")[0] for part in answer.headers["Server-Timing"].split(", ")}
    assert stages == {"receive", "decode", "encode", "query", "serialise"}


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3"])
def test_upload_of_any_format_finds_its_own_track(site: "Site", container: str) -> None:
    track_id = site.ids[3]
    samples, rate = soundfile.read(io.BytesIO(site.file(track_id)))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container)
    # By the version that does not blow small differences up: codecs make some.
    pinned = {"start_ms": 0, "end_ms": 10_000, "options": '{"model_version": 2}'}
    answer = site.upload(file.getvalue(), **pinned)
    assert answer.status_code == 200, answer.text
    near = answer.json()["results"][:5]
    assert track_id in {track["track_id"] for hit in near for track in (hit, *hit["versions"])}


def test_regions_of_an_upload_are_repeated_or_averaged(site: "Site") -> None:
    content = site.file(site.ids[3])
    short = site.upload(content, start_ms=0, end_ms=3000).json()["query"]
    assert (short["windows"], short["end_ms"]) == (1, 3000)
    long = site.upload(content, start_ms=0, end_ms=30_000).json()["query"]
    assert (long["windows"], long["end_ms"]) == (2, 12_000)


def test_examples_are_left_out_and_the_disliked_matter(site: "Site") -> None:
    first, second, third = site.ids[:3]
    likes = [{"track_id": first}, {"track_id": second, "start_ms": 0}]
    liked = site.search(likes=likes, k=30)
    both = site.search(likes=likes, dislikes=[{"track_id": third}], k=30)
    assert {first, second}.isdisjoint(found(liked))
    assert {first, second, third}.isdisjoint(found(both))
    assert [r["distance"] for r in liked["results"]] != [r["distance"] for r in both["results"]]


def test_filters_hold(site: "Site") -> None:
    wanted = {"track_id": site.ids[0], "start_ms": 0, "k": 40}
    rising = site.search(**wanted, filters={"genres": ["rise"]})["results"]
    assert rising
    assert all(result["genres"] == ["rise"] for result in rising)
    others = site.search(**wanted, filters={"not_artists": [rising[0]["artist"]]})["results"]
    assert rising[0]["artist"] not in {result["artist"] for result in others}
    assert site.search(**wanted, filters={"min_duration_ms": 20_000})["results"] == []


def test_pinned_version_answers(site: "Site") -> None:
    wanted = {"track_id": site.ids[0], "start_ms": 0}
    assert site.search(**wanted, model_version=2)["model_version"] == 2
    refused = site.ask("POST", "/searches", json=wanted | {"model_version": 77})
    assert (refused.status_code, refused.json()["code"]) == (410, "version_retired")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"track_id": "nobody"}, 404, "not_found"),
        ({"track_id": "tone_000", "start_ms": 0, "end_ms": 1000}, 422, "invalid_request"),
        ({"track_id": "tone_000", "start_ms": 0, "end_ms": 90_000}, 422, "invalid_request"),
        ({"track_id": "tone_000", "start_ms": 50_000}, 422, "region_outside"),
        ({"track_id": "tone_000", "speed": 2}, 422, "invalid_request"),
        ({"track_id": "a\0b"}, 422, "invalid_request"),
        ({"likes": []}, 422, "invalid_request"),
        ({"likes": [{"track_id": "nobody"}]}, 404, "not_found"),
        ({"cursor": "nonsense"}, 422, "invalid_cursor"),
        ({"track_id": "tone_000", "k": 1000}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ],
)
def test_mistake_is_a_problem_that_says_what_to_do(
    site: "Site", body: object, status: int, code: str
) -> None:
    answer = site.ask("POST", "/searches", json=body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["detail"].endswith(".") or problem["detail"].endswith(")")
    assert problem["instance"] == "/api/v1/searches"


def test_examples_that_cancel_out_are_refused(site: "Site") -> None:
    one = [{"track_id": site.ids[0]}]
    both = [*one, {"track_id": site.ids[0]}]
    answer = site.ask("POST", "/searches", json={"likes": one, "dislikes": both})
    # Less half of itself, a track is still itself: only the direction counts.
    assert answer.status_code == 200


def write_wav(samples: np.ndarray[Any, Any], rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no music at all", "not_audio"),
        (b"", "empty"),
        (write_wav(np.zeros(16_000 * 4)), "silent"),
        (write_wav(np.random.default_rng(0).normal(0, 0.1, 16_000)), "too_short"),
        (write_wav(np.random.default_rng(0).normal(0, 0.1, (9000, 9)), 8000), "too_many_channels"),
    ],
)
def test_bad_upload_is_refused_with_a_reason(site: "Site", content: bytes, code: str) -> None:
    answer = site.upload(content)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_upload_without_a_file_or_with_nonsense_is_refused(site: "Site") -> None:
    for fields in ({"start_ms": "x"}, {"end_ms": "500"}, {"options": "{"}, {"other": "1"}):
        assert site.upload(b"abc", **fields).status_code == 422
    answer = site.ask("POST", "/searches", files={"other": b"abc"})
    assert answer.status_code == 422
    answer = site.ask("POST", "/searches", data="<xml/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415
