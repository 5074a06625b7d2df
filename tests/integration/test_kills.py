"""Killed at fifty moments each, `clips` and `embeddings` end as if nothing had happened.

Half of the moments are drawn; the others come as soon as the work is seen to be half done.
"""

import contextlib
import importlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile as sf
import torch
from numpy.typing import NDArray

from ml.audio_store import AudioStore
from ml.clips import extract_clips
from ml.convnet import ConvNet, ConvNetSettings
from ml.encoders import ConvNetEncoder, save_encoder
from ml.spectrogram import SpectrogramSettings
from ml.splits import assign_bucket, hash_track, label_splits
from search import index
from search.database import Database
from search.tracks import upsert_tracks

KILLS = int(os.environ.get("SOUNDALIKE_KILLS", "10"))  # 50 take five minutes
ATTEMPTS = 5  # a busy machine may end the work between the look at it and the kill
BUCKETS = range(3)
LABELS = {"genres": "g", "moods": "m"}
CONTEXT = multiprocessing.get_context("forkserver")
Rows = list[tuple[object, ...]]
SERVER: Any = forkserver._forkserver

# What is killed. Its workers come from the server that it came from itself, for the imports' sake.
WORK = """
from multiprocessing import forkserver
from ml.clips import extract_clips
from ml.encoders import load_encoder
from search.windows import load_windows
def extract(store, tracks):
    forkserver._forkserver.ensure_running = lambda: None
    extract_clips(tracks, store, range(3), n_jobs=2, now=0.0)
def load(database, version, folder, store, tracks):
    load_windows(database, version, load_encoder(folder), store, tracks, range(3))
"""


@dataclass(frozen=True)
class Killer:
    """Starts work in processes of their own, and kills them."""

    server: psutil.Process

    def measure(self, work: Callable[..., object], *arguments: object) -> float:
        """Let work end undisturbed; how many seconds that takes."""
        started = time.monotonic()
        process = self._start(work, *arguments)
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - started

    def interrupt(
        self,
        due: Callable[[float], bool],
        family: bool,
        work: Callable[..., object],
        *arguments: object,
    ) -> bool:
        """Kill work once it is due, by its seconds; its workers as well or not.

        Whether it was still going on.
        """
        started = time.monotonic()
        process = self._start(work, *arguments)
        while process.is_alive() and not due(time.monotonic() - started):
            time.sleep(0.001)
        workers = [child for child in self.server.children() if child.pid != process.pid]
        process.kill()
        for worker in workers if family else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        process.join()
        _, alive = psutil.wait_procs(self.server.children(recursive=True), timeout=20)
        assert not alive
        return process.exitcode != 0

    @staticmethod
    def _start(work: Callable[..., object], *arguments: object) -> BaseProcess:
        process = CONTEXT.Process(target=work, args=arguments)
        process.start()
        return process


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Write the module that processes import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "work_to_kill.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("work_to_kill")


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    """Run a server of forks that has imported everything: a process starts in milliseconds."""
    SERVER._stop()  # another test's
    CONTEXT.set_forkserver_preload(["ml.clips", "search.windows"])
    forkserver.ensure_running()
    killer = Killer(psutil.Process(SERVER._forkserver_pid))
    killer.measure(int)  # after the imports
    yield killer
    SERVER._stop()


def moments(seconds: float) -> Iterator[float | None]:
    """Draw a moment in each equal part of a run's length, and none as often."""
    generator = np.random.default_rng(0)
    drawn = KILLS - KILLS // 2
    shares = (np.arange(drawn) + generator.random(drawn)) / drawn
    every = [*(shares * seconds).tolist(), *[None] * (KILLS // 2)]
    return (every[place] for place in generator.permutation(KILLS))


IDS = [str(n) for n in range(1000) if assign_bucket(hash_track(str(n))) in BUCKETS][:10]


def write_tracks(folder: Path, seconds: dict[str, float]) -> pd.DataFrame:
    for name, length in seconds.items():
        noise = np.random.default_rng(int(name)).standard_normal((round(length * 22_050), 2))
        sf.write(folder / f"{name}.flac", 0.1 * noise, 22_050)
    paths = [str(folder / f"{name}.flac") for name in seconds]
    return label_splits(pd.DataFrame({"track_id": list(seconds), "path": paths}))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Write eight tracks, one of them unusable."""
    tracks = write_tracks(tmp_path_factory.mktemp("before"), dict.fromkeys(IDS[:8], 12.0))
    Path(tracks["path"].iloc[-1]).write_bytes(b"no audio")
    return tracks


@pytest.fixture(scope="module")
def after(before: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Let one of the tracks go, change two, add two."""
    kept, changed = before.iloc[3:], (*IDS[1:3], *IDS[8:])
    tracks = write_tracks(tmp_path_factory.mktemp("after"), dict.fromkeys(changed, 16.0))
    return pd.concat([kept, tracks], ignore_index=True)


def snapshot(store: AudioStore) -> dict[str, bytes]:
    """Contents of every file of the store, temporary ones included."""
    paths = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


def test_clips_killed_at_any_moment_are_completed_by_the_next_run(
    killer: Killer, work: ModuleType, before: pd.DataFrame, after: pd.DataFrame, tmp_path: Path
) -> None:
    def extract(tracks: pd.DataFrame, store: AudioStore) -> None:
        extract_clips(tracks, store, BUCKETS, n_jobs=2, now=0.0)

    store, old, new = (AudioStore(tmp_path / name) for name in ("store", "old", "new"))
    extract(before, old)
    shutil.copytree(old.root, new.root)
    seconds = killer.measure(work.extract, new, after)
    unchanged, expected = snapshot(old), snapshot(new)

    def is_half_done() -> bool:
        try:
            return snapshot(store) not in (unchanged, expected)
        except FileNotFoundError:  # renamed meanwhile
            return True

    def kill(moment: float | None, family: bool) -> tuple[bool, bool]:
        """Kill a run and complete it; whether it was going on, and left half of its work."""
        shutil.copytree(old.root, store.root)
        interrupted = killer.interrupt(
            lambda passed: is_half_done() if moment is None else passed >= moment,
            family,
            work.extract,
            store,
            after,
        )
        half_done = is_half_done()
        extract(after, store)
        assert snapshot(store) == expected
        shutil.rmtree(store.root)
        return interrupted, half_done

    interrupted = partly = 0
    for number, moment in enumerate(moments(seconds)):
        for _ in range(ATTEMPTS):
            was_going_on, was_half_done = kill(moment, number % 2 == 0)
            if moment is not None or was_half_done:
                break
        interrupted += was_going_on
        partly += was_half_done
    assert interrupted >= KILLS / 2
    assert partly >= KILLS // 2


def read_rows(database: Database, version: int) -> Rows:
    """Read which rows a version has, and what they were made of."""
    statement = """
        SELECT bucket, track_id, start_ms, end_ms FROM embeddings
        WHERE model_version = %(version)s
        UNION ALL
        SELECT bucket, fingerprints::text, 0, 0 FROM bucket_loads
        WHERE model_version = %(version)s ORDER BY 1, 2, 3
    """
    with database.transaction() as connection:
        return connection.execute(statement, {"version": version}).fetchall()


def read_vectors(database: Database, version: int) -> NDArray[np.float32]:
    """Read a version's vectors, in the order of their keys."""
    statement = (
        "SELECT embedding FROM embeddings WHERE model_version = %s ORDER BY track_id, start_ms"
    )
    with database.transaction() as connection:
        rows = connection.execute(statement, (version,)).fetchall()
    return np.stack([vector.to_numpy() for (vector,) in rows])


def count_backends(database: Database) -> int:
    statement = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    with database.transaction() as connection:
        return int(connection.execute(statement).fetchall()[0][0])


@contextlib.contextmanager
def held_back(database: Database, version: int, bucket: int) -> Iterator[None]:
    """Let no load of a bucket begin."""
    lock = "SELECT pg_advisory_lock(hashtext('soundalike load ' || %s), %s)"
    with database.connect() as connection:
        connection.execute(lock, (version, bucket))
        yield


def test_embeddings_killed_at_any_moment_are_completed_by_the_next_run(
    killer: Killer,
    work: ModuleType,
    before: pd.DataFrame,
    after: pd.DataFrame,
    database: Database,
    tmp_path: Path,
) -> None:
    old, new = (embeddable(tracks, tmp_path / n) for tracks, n in ((before, "a"), (after, "b")))
    torch.manual_seed(0)
    spectrogram = SpectrogramSettings(n_fft=512, hop=512, n_mels=16)
    network = ConvNet(ConvNetSettings(widths=(8,), spectrogram=spectrogram))
    save_encoder(ConvNetEncoder(network), tmp_path / "encoder")

    def begin(version: int) -> tuple[object, ...]:
        """Begin a version, every second one with the old tracks; what loads the new ones."""
        upsert_tracks(database, pd.concat([new[1], old[1]]).drop_duplicates("track_id"))
        index.begin_version(database, version, "music-encoder", f"run {version}")
        if version % 2 == 0:
            work.load(database, version, tmp_path / "encoder", *old)
        return database, version, tmp_path / "encoder", *new

    seconds = killer.measure(work.load, *begin(1))
    expected, vectors = read_rows(database, 1), read_vectors(database, 1)
    interrupted = partly = 0
    begin(2)
    unchanged = read_rows(database, 2)
    for version, moment in enumerate(moments(seconds), 2):
        arguments = begin(version)

        def is_half_done(version: int = version) -> bool:
            return read_rows(database, version) not in ([], unchanged, expected)

        def is_due(
            passed: float, moment: float | None = moment, seen: Callable[[], bool] = is_half_done
        ) -> bool:
            return seen() if moment is None else passed >= moment

        # The stretch between the first bucket and the last is short: it is made to last.
        last = held_back(database, version, BUCKETS[-1])
        with last if moment is None else contextlib.nullcontext():
            interrupted += killer.interrupt(is_due, False, work.load, *arguments)
            partly += is_half_done()
        work.load(*arguments)
        assert read_rows(database, version) == expected
        # The last bit depends on what else was in a batch, and that on what was left to do.
        np.testing.assert_allclose(read_vectors(database, version), vectors, atol=1e-6)
        deadline = time.monotonic() + 20
        while count_backends(database) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert count_backends(database) == 0
        index.retire(database, version)
    assert interrupted >= KILLS / 2
    assert partly >= KILLS // 2


def embeddable(tracks: pd.DataFrame, root: Path) -> tuple[AudioStore, pd.DataFrame]:
    """Extract the clips of tracks; the store, and the tracks with what an index is told of them."""
    store = AudioStore(root)
    extract_clips(tracks, store, BUCKETS, n_jobs=2)
    clips = store.read_clips(BUCKETS).drop_duplicates("track_id")
    known = tracks.merge(clips[["track_id", "samples", "content"]], on="track_id")
    labels = {name: pd.Series([(label,)] * len(known)) for name, label in LABELS.items()}
    return store, known.assign(title="t", artist="a", album="", **labels)
