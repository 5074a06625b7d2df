"""A generated catalogue in two versions, its encoders, a song to upload, and the server on them."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.search_database import load_version, make_frame
from benchmarks.vectors import draw_windows
from ml.convnet import ConvNetSettings, seed_weights
from ml.encoders import ConvNetEncoder, save_encoder
from ml.environment import Environment
from ml.registry import Registry
from search.database import Database
from search.index import activate, build_index
from search.tracks import upsert_tracks
from search.verification import mark_verified, measure_recall

VERSION, OTHER = 1, 2
OTHER_SHARE = 10
"""The other version holds a tenth of the windows of every track: enough to tell answers apart."""
RATE, SONG_SECONDS = 44_100, 240
FOREIGN = ("DATABASE_URL", "MLFLOW_TRACKING_URI", "API_TOKENS_FILE", "CATALOG")


def stock(database: Database, root: Path, rows: int, per_track: int) -> None:
    """Fill the index with so many windows, and another version with a tenth of them."""
    tracks = rows // per_track
    upsert_tracks(database, make_frame(tracks))
    for version, windows in ((VERSION, per_track), (OTHER, max(1, per_track // OTHER_SHARE))):
        vectors = draw_windows(tracks, windows, seed=version)
        load_version(database, version, vectors, windows, register(root, version))
        build_index(database, version)
        mark_verified(database, version, measure_recall(database, version))
    activate(database, VERSION)


def register(root: Path, version: int) -> str:
    """Register an encoder as that version; the run that made it."""
    folder = root / f"encoder {version}"
    save_encoder(make_encoder(version), folder)
    registry = Registry.open(Environment(data_dir=root))
    with registry.start_run("convnet", f"benchmark {version}") as run:
        run.log_encoder(folder)
    return registry.register(run.run_id, f"benchmark {version}").run_id


def make_encoder(version: int) -> ConvNetEncoder:
    """Give an encoder of the usual size with weights of its own."""
    return ConvNetEncoder(seed_weights(ConvNetSettings(), version))


def make_song() -> bytes:
    """Write four minutes of noise with a beat as an mp3."""
    time_s = np.arange(SONG_SECONDS * RATE) / RATE
    beat = np.abs(np.sin(2 * np.pi * time_s))
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(size=len(beat))
    soundfile.write(file, 0.1 * beat * noise, RATE, format="MP3")
    return file.getvalue()


@contextmanager
def served(root: Path) -> Iterator[int]:
    """Run `soundalike serve` on this state until the block ends; its port, once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    command: Sequence[str] = (
        *(str(Path(sys.executable).parent / "soundalike"), "serve"),
        *("--port", str(port)),
    )
    with (root / "serve.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command, env=environment | {"DATA_DIR": str(root)}, stderr=log
        )
    try:
        while not is_ready(port):
            if process.poll() is not None:
                raise SystemExit((root / "serve.log").read_text())
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def is_ready(port: int) -> bool:
    """Ask the server whether it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
