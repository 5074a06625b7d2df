"""Taking tracks down, on a real database, a real MLflow and a real audio store."""

import json
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ml.audio_store import CLIP_SAMPLES
from ml.clips import extract_clips
from ml.errors import DatabaseError, RegistryError, SoundalikeError
from ml.registry import Registry
from ml.splits import assign_bucket, hash_track, label_splits
from ml.workspace import Workspace
from search import index, takedown, verification
from search.database import Database
from search.load import load_bucket, loaded_fingerprints
from search.proofs import Takedown, proof_path, require_complete
from search.similarity import similar_tracks
from search.takedown import denied_tracks, lift_takedown, take_down
from search.tracks import upsert_tracks

if TYPE_CHECKING:
    from tests.integration.search.conftest import Catalogue

KILLS = int(os.environ.get("TAKEDOWN_KILLS", "4"))


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Registry]:
    folder = tmp_path_factory.mktemp("mlflow")
    return partial(Registry, f"sqlite:///{folder}/mlflow.db", folder)


@pytest.fixture(scope="module")
def registry(open_registry: Callable[[], Registry]) -> Registry:
    return open_registry()


@pytest.fixture
def forks() -> Iterator[ForkServerContext]:
    """Run a server of forks that has imported what a takedown needs."""
    server: Any = forkserver._forkserver
    server._stop()  # another test's
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["search.takedown"])
    yield context
    server._stop()


@pytest.fixture
def served(database: Database, catalogue: "Catalogue", other_catalogue: "Catalogue") -> Database:
    """Load two versions, the first of which is active."""
    catalogue.serve(database, 1)
    other_catalogue.load(database, 2)
    report = verification.measure_recall(database, 2)
    verification.mark_verified(database, 2, report)
    return database


@pytest.fixture
def workspace(tmp_path: Path, catalogue: "Catalogue") -> Workspace:
    """Store ten seconds of each track, and one of them for an evaluation too."""
    workspace = Workspace(tmp_path / "data")
    frame = catalogue.frame.drop(columns=["bucket", "digest"])
    workspace.save_table("tracks", frame)
    for root in (workspace, Workspace(workspace.root / "evaluated" / "x")):
        for track_id in frame["track_id"]:
            store_track(root, str(track_id))
    return workspace


def store_track(workspace: Workspace, track_id: str) -> None:
    digest, store = hash_track(track_id), workspace.store
    store.write_audio(digest, np.ones(CLIP_SAMPLES, np.int16))
    bucket = assign_bucket(digest)
    row = {"track_id": track_id, "digest": digest, "start": 0, "samples": CLIP_SAMPLES}
    known = store.read_clips([bucket])
    added = pd.DataFrame([row | {"fingerprint": "f", "content": "c"}])
    frames = [frame for frame in (known, added) if not frame.empty]
    rejected, gone = store.read_rejected([bucket]), store.read_gone([bucket])
    store.write_bucket(bucket, pd.concat(frames, ignore_index=True), rejected, gone)


def scalar(database: Database, statement: str, *arguments: object) -> object:
    with database.transaction() as connection:
        row = connection.execute(statement.encode(), arguments).fetchone()
    return row[0] if row else None


def state_of(database: Database, track_id: str) -> object:
    return scalar(database, "SELECT state FROM tracks WHERE track_id = %s", track_id)


def count_rows(database: Database, track_id: str, version: int) -> object:
    statement = "SELECT count(*) FROM embeddings WHERE track_id = %s AND model_version = %s"
    return scalar(database, statement, track_id, version)


def answers(database: Database, version: int, asked: str) -> set[str]:
    statement = "SELECT array_agg(track_id) FROM similar_tracks(%s, 39, %s)"
    found = scalar(database, statement, asked, version)
    assert isinstance(found, list)
    return set(found)


def test_taken_down_track_is_gone_everywhere_and_the_proof_says_where(
    served: Database,
    catalogue: "Catalogue",
    other_catalogue: "Catalogue",
    registry: Registry,
    workspace: Workspace,
) -> None:
    track, asked = map(str, catalogue.frame["track_id"][:2])
    digest, audio = hash_track(track), workspace.store.audio_path(hash_track(track))
    with registry.start_run("examples", "examples") as run:
        run.log_figure(Figure(), f"audio/{digest}-0")
        run.log_figure(Figure(), "audio/other")
    others = len(workspace.store.read_clips(range(100))) - 1
    segments = len(catalogue.embeddings[track])
    assert track in answers(served, 1, asked) & answers(served, 2, asked)
    before = scalar(served, "SELECT segments FROM models WHERE model_version = 1")
    assert isinstance(before, int)

    proof = take_down(served, lambda: registry, workspace, track, "the label asked")

    assert proof.complete
    assert json.loads(proof_path(workspace, track).read_bytes())["complete"] is True
    counted = {deletion.place: deletion.count for deletion in proof.deletions}
    assert counted["embeddings of version 1"] == segments
    assert counted["embeddings of version 2"] == len(other_catalogue.embeddings[track])
    assert counted[str(audio.relative_to(workspace.root))] == 1
    assert counted[f"evaluated/x/{audio.relative_to(workspace.root)}"] == 1
    assert counted["table tracks"] == 1
    assert counted[f"MLflow audio/{digest}-0.png of run {run.run_id}"] == 1
    assert not audio.exists()
    assert len(workspace.store.read_clips(range(100))) == others
    assert [a.path for a in registry.find_artifacts("other", "-")] == ["audio/other.png"]
    assert state_of(served, track) == "taken_down"
    for version in (1, 2):
        assert count_rows(served, track, version) == 0
        assert answers(served, version, asked) == set(catalogue.embeddings) - {track, asked}
    with pytest.raises(DatabaseError, match="is taken down"):
        similar_tracks(served, track)
    assert index.list_models(served)[0].state == "verified"  # the active version stays so
    assert index.list_models(served)[0].segments == before - segments

    again = take_down(served, lambda: registry, workspace, track, "once more")
    assert again.complete
    assert again.deletions == proof.deletions  # what was deleted then; nothing now
    assert again.denied_at == proof.denied_at


def test_track_is_unsearchable_before_anything_is_deleted(
    served: Database,
    catalogue: "Catalogue",
    registry: Registry,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    track, asked = map(str, catalogue.frame["track_id"][:2])

    def be_killed(*_: object) -> dict[str, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(takedown, "remove_rows", be_killed)
    with pytest.raises(KeyboardInterrupt):
        take_down(served, lambda: registry, workspace, track, "the label asked")
    assert count_rows(served, track, 1) != 0
    assert track not in answers(served, 1, asked) | answers(served, 2, asked)
    assert denied_tracks(served) == workspace.denied_tracks() == {track}


def test_systems_that_fail_keep_no_other_step_from_being_done(
    served: Database, catalogue: "Catalogue", registry: Registry, workspace: Workspace
) -> None:
    track = str(catalogue.frame["track_id"][0])
    digest, evaluated = hash_track(track), Workspace(workspace.root / "evaluated" / "x").store

    def find_no_server() -> Registry:
        raise RegistryError("MLflow does not answer: start it.")

    with workspace.store.lock(assign_bucket(digest)):
        proof = take_down(served, find_no_server, workspace, track, "the label asked")
    assert state_of(served, track) == "taken_down"
    assert count_rows(served, track, 1) == count_rows(served, track, 2) == 0
    assert not evaluated.has_audio(digest)
    assert track not in set(workspace.load_table("tracks")["track_id"])
    assert {failure.step for failure in proof.failures} == {"audio in audio", "MLflow"}
    written = json.loads(proof_path(workspace, track).read_bytes())
    assert [failure["why"] for failure in written["failures"]][1].startswith("MLflow does not")
    assert written["complete"] is proof.complete is False
    with pytest.raises(SoundalikeError, match=r"Another run is at work .*MLflow does not"):
        require_complete(proof)
    again = take_down(served, lambda: registry, workspace, track, "again")
    require_complete(again)
    assert again.complete


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("waveforms", "(track_id, content, path, peaks) VALUES (%s, 'c', 'a.wav', '')"),
        ("map_points", "(model_version, track_id, x, y) SELECT 1, %s, 0.5, 0.5"),
    ],
)
def test_proof_names_the_table_that_has_something_left(
    served: Database,
    catalogue: "Catalogue",
    registry: Registry,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    row: str,
) -> None:
    track = str(catalogue.frame["track_id"][0])

    def delete_and_be_late(database: Database, track_id: str) -> dict[str, int]:
        with database.transaction() as connection:
            connection.execute(f"INSERT INTO {table} {row}".encode(), (track_id,))
        return {}

    monkeypatch.setattr(takedown, "_delete_embeddings", delete_and_be_late)
    proof = take_down(served, lambda: registry, workspace, track, "the label asked")
    (failed,) = (check for check in proof.checks if not check.passed)
    assert f"1 of {table}" in failed.found
    assert "of embeddings" in failed.found
    assert not proof.complete


def test_run_that_had_read_the_track_does_not_decode_it_after_the_proof(
    served: Database, registry: Registry, workspace: Workspace
) -> None:
    read = label_splits(workspace.load_table("tracks")).assign(path="absent.wav")
    track = str(read["track_id"][0])
    bucket, store = int(read["bucket"][0]), workspace.store
    assert take_down(served, lambda: registry, workspace, track, "the label asked").complete
    store_track(workspace, track)  # as a run that was killed leaves it
    extract_clips(read, store, [bucket], denied=workspace.denied_tracks, allow_shrinking=True)
    for rows in store.read_manifests(bucket):
        assert track not in set(rows["track_id"])
    assert not store.audio_files(hash_track(track))


def test_killed_takedown_is_completed_by_the_next(
    served: Database,
    catalogue: "Catalogue",
    open_registry: Callable[[], Registry],
    workspace: Workspace,
    forks: ForkServerContext,
) -> None:
    tracks = [str(track) for track in catalogue.frame["track_id"]]
    draw = random.Random(0)

    def start(track: str) -> BaseProcess:
        arguments = (served, open_registry, workspace, track, "killed")
        process = forks.Process(target=take_down, args=arguments)
        process.start()
        return process

    for track in tracks[:2]:  # the server imports before the first
        started = time.monotonic()
        process = start(track)
        process.join()
        whole = time.monotonic() - started
        assert process.exitcode == 0
    died = 0
    for number in range(KILLS):
        track = tracks[2 + number % 30]
        lift_takedown(served, workspace, track)
        store_track(workspace, track)
        process = start(track)
        time.sleep(draw.uniform(0, whole))
        process.kill()
        process.join()
        died += process.exitcode == -9
        proof = take_down(served, open_registry, workspace, track, "again")
        assert proof.complete, proof.checks
        assert json.loads(proof_path(workspace, track).read_bytes())["complete"] is True
    assert died > 0
    assert not list(workspace.root.rglob("*.tmp"))
    left = set(workspace.store.read_clips(range(100))["track_id"])
    assert left == set(tracks) - set(tracks[: 2 + min(KILLS, 30)])


def test_track_that_had_left_is_removed_too(
    served: Database, catalogue: "Catalogue", registry: Registry, workspace: Workspace
) -> None:
    track = str(catalogue.frame["track_id"][0])
    bucket, store = assign_bucket(hash_track(track)), workspace.store
    clips = store.read_clips([bucket])
    left = clips["track_id"] == track
    gone = clips[left].assign(gone_since=0.0)
    store.write_bucket(bucket, clips[~left], store.read_rejected([bucket]), gone)
    assert take_down(served, lambda: registry, workspace, track, "the label asked").complete
    assert store.read_gone([bucket]).empty
    assert not store.has_audio(hash_track(track))


def test_id_that_nobody_has_goes_on_the_denylist_and_cannot_come_in(
    database: Database, catalogue: "Catalogue", registry: Registry, workspace: Workspace
) -> None:
    track, bucket = str(catalogue.frame["track_id"][0]), int(catalogue.frame["bucket"][0])
    proof = take_down(
        database, lambda: registry, Workspace(workspace.root / "empty"), track, "known thief"
    )
    assert proof.complete
    assert proof.deletions == []
    upsert_tracks(database, catalogue.frame)
    assert state_of(database, track) == "taken_down"
    with database.transaction() as connection:
        connection.execute("UPDATE tracks SET state = 'served'")
    assert state_of(database, track) == "taken_down"
    index.begin_version(database, 1, "music-encoder", "run-1")
    with pytest.raises(DatabaseError, match=r"was taken down .*Materialise catalog again"):
        load_bucket(database, 1, bucket, catalogue.segments([track]), "x")
    assert count_rows(database, track, 1) == 0


def test_rows_of_a_load_under_way_are_waited_for_and_deleted(
    served: Database, catalogue: "Catalogue", registry: Registry, workspace: Workspace
) -> None:
    track, bucket = str(catalogue.frame["track_id"][0]), int(catalogue.frame["bucket"][0])
    done: list[Takedown] = []

    def run() -> None:
        done.append(take_down(served, lambda: registry, workspace, track, "meanwhile"))

    with served.connect() as loading:
        loading.execute(
            "SELECT begin_bucket_load(2, %s, '{}', jsonb_build_object(%s::text, 'x'))",
            (bucket, track),
        )
        loading.execute(
            "INSERT INTO embeddings SELECT 2, track_id, bucket, 0, 1, e.embedding FROM embeddings e"
            " WHERE model_version = 1 AND track_id = %s LIMIT 1",
            (track,),
        )
        thread = threading.Thread(target=run)
        thread.start()
        deadline = time.monotonic() + 60
        while state_of(served, track) != "taken_down":  # at once, whatever is being loaded
            assert time.monotonic() < deadline
            time.sleep(0.02)
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(120)
    assert done[0].complete
    assert count_rows(served, track, 2) == 0


def test_undo_lifts_the_denylist_and_nothing_else(
    served: Database, catalogue: "Catalogue", registry: Registry, workspace: Workspace
) -> None:
    track, bucket = str(catalogue.frame["track_id"][0]), int(catalogue.frame["bucket"][0])
    assert not lift_takedown(served, workspace, track)
    take_down(served, lambda: registry, workspace, track, "by mistake")
    assert track not in loaded_fingerprints(served, 1)[bucket]  # so it will be embedded again
    assert lift_takedown(served, workspace, track)
    assert denied_tracks(served) == workspace.denied_tracks() == set()
    assert state_of(served, track) == "gone"
    assert count_rows(served, track, 1) == 0
    upsert_tracks(served, catalogue.frame)
    assert state_of(served, track) == "served"


@pytest.mark.parametrize(("track", "reason"), [("", "why"), (" ", "why"), ("a", " ")])
def test_takedown_without_a_track_or_a_reason_is_refused(
    database: Database, registry: Registry, workspace: Workspace, track: str, reason: str
) -> None:
    with pytest.raises(SoundalikeError, match="Give the id of a track and a reason"):
        take_down(database, lambda: registry, workspace, track, reason)
    assert denied_tracks(database) == set()
