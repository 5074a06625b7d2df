"""The same work, on this machine and on a Ray cluster: the same store, the same reasons."""

import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile as sf

from ml.audio_store import AudioStore
from ml.clips import extract_clips
from ml.decoding import Decoder
from ml.errors import SoundalikeError
from ml.splits import assign_bucket, hash_track, label_splits
from ml.workers import map_in_parallel
from tests.ray_cluster import running_cluster

BUCKETS = range(3)
IDS = [str(n) for n in range(2000) if assign_bucket(hash_track(str(n))) in BUCKETS][:20]
CRASH = """
import os
from ml.audio import decode_blocks
def decode(path, limits):
    if path.stat().st_size < 100:
        os.abort()
    yield from decode_blocks(path, limits)
"""


@pytest.fixture(scope="module")
def crashing() -> Iterator[Decoder]:
    """Write a decoder that crashes on small files, where every process finds it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder, "crashing.py").write_text(CRASH)
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", folder)
        yield importlib.import_module("crashing").decode


@pytest.fixture(scope="module")
def cluster(crashing: Decoder) -> Iterator[str]:  # noqa: ARG001 (which its workers are to find)
    """Start a small cluster, and stop it; its address."""
    with running_cluster() as cluster:
        yield cluster.address


def snapshot(store: AudioStore) -> dict[str, bytes]:
    paths = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


@pytest.fixture
def tracks(tmp_path: Path) -> pd.DataFrame:
    """More than a batch of tracks: one on which the decoder crashes, one that is no audio."""
    rows = []
    for track_id in IDS:
        path = tmp_path / f"{track_id}.wav"
        noise = np.random.default_rng(int(track_id)).standard_normal(10 * 16_000)
        sf.write(path, 0.1 * noise, 16_000)
        rows.append((track_id, str(path)))
    (tmp_path / f"{IDS[7]}.wav").write_bytes(b"crash")
    (tmp_path / f"{IDS[8]}.wav").write_bytes(b"no audio" * 50)
    return label_splits(pd.DataFrame(rows, columns=["track_id", "path"]))


# Ray leaves handles of its servers to the collector, in any test that comes after.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_clips_are_the_same_on_a_cluster_where_a_crash_costs_its_track_alone(
    cluster: str,
    crashing: Decoder,
    tracks: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    stores = {backend: AudioStore(tmp_path / backend) for backend in ("loky", "ray")}
    for backend, store in stores.items():
        monkeypatch.setenv("JOBLIB_BACKEND", backend)
        report = extract_clips(tracks, store, BUCKETS, n_jobs=2, decoder=crashing)
        assert (report.new, report.quarantined) == (20, 2)
        reasons = store.read_rejected(BUCKETS).set_index("track_id")["reason"].to_dict()
        assert reasons == {IDS[7]: "decoder_crashed", IDS[8]: "not_audio"}
    assert snapshot(stores["ray"]) == snapshot(stores["loky"])
    parents = set(map_in_parallel(eval, ["__import__('os').getppid()"] * 3, 2))
    assert {psutil.Process(pid).name() for pid in parents} == {"raylet"}


def test_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBLIB_BACKEND", "dask")
    with pytest.raises(SoundalikeError, match="set it to loky or ray"):
        list(map_in_parallel(abs, [1]))
