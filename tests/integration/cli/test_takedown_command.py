"""Taking a track down and lifting that again, as people do it: from a terminal and by the job."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from ml.errors import DatabaseError
from orchestration.definitions import defs
from search.proofs import proof_path
from search.similarity import similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import Home

PUBLISHED = ("catalog", "tracks", "clips", "embeddings", "index", "active_model")


@pytest.fixture
def home(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Home"]:
    copy = finished.copy(tmp_path_factory.mktemp("takedown") / "data")
    with copy._environment(), copy.database():
        yield copy


def read_proof(home: "Home", track_id: str) -> dict[str, Any]:
    proof: dict[str, Any] = json.loads(proof_path(home.workspace, track_id).read_bytes())
    return proof


def is_found(home: "Home", track_id: str) -> bool:
    with home.database() as database:
        try:
            return bool(similar_tracks(database, track_id, 3))
        except DatabaseError:
            return False


def run_job(home: "Home", **config: object) -> dg.ExecuteInProcessResult:
    with home.instance() as instance:
        return defs.resolve_job_def("takedown").execute_in_process(
            run_config={"ops": {"take_track_down": {"config": config}}}, instance=instance
        )


def test_track_is_taken_down_and_comes_back(home: "Home") -> None:
    first, second = map(str, home.workspace.load_table("tracks")["track_id"][:2])
    assert is_found(home, first)
    assert is_found(home, second)

    done = home.run("soundalike", "takedown", first, "--reason", "the label asked")
    assert done.returncode == 0, done.stdout
    assert str(proof_path(home.workspace, first).name) in done.stdout.replace("\n", "")
    assert "is it spelled right?" not in done.stdout
    assert run_job(home, track_id=second, reason="the label asked").success
    for track in (first, second):
        proof = read_proof(home, track)
        assert proof["complete"]
        assert proof["failures"] == []
        assert not is_found(home, track)

    assert home.refresh(["catalog"]).success
    rejected = home.workspace.load_table("rejected").set_index("track_id")["reason"]
    assert rejected[first] == rejected[second] == "taken_down"
    assert not {first, second} & set(home.workspace.load_table("catalog")["track_id"])

    done = home.run("soundalike", "takedown", first, "--undo")
    assert done.returncode == 0, done.stdout
    assert "is off the denylist" in done.stdout
    assert run_job(home, track_id=second, undo=True).success
    assert home.workspace.denied_tracks() == frozenset()
    assert not is_found(home, first)
    published = home.refresh(PUBLISHED)
    assert published.success
    assert is_found(home, first)
    assert is_found(home, second)


def test_takedown_of_what_nobody_knows_is_doubted(home: "Home") -> None:
    done = home.run("soundalike", "takedown", "nosuch", "--reason", "a slip")
    assert done.returncode == 0, done.stdout
    assert "Nothing was found of a track 'nosuch': is it spelled right?" in done.stdout
    assert home.run("soundalike", "takedown", "nosuch", "--undo").returncode == 0
