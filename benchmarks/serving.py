"""How fast the API answers, beside the same work called in one process, and what its layers cost.

By segment: a bare SQL query and `search.retrieval` in this process, then over HTTP by 1, 4 and 16
clients. By upload: decode, encode and query in this process, then over HTTP, split by the server's
own ``Server-Timing``. The server is a real one, on a database of generated windows.

    .venv/bin/python -m benchmarks.serving --rows 400000 --seconds 60
"""

import argparse
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.report import at_most, print_report
from ml.audio import AudioLimits
from ml.convnet import ConvNetSettings, seed_weights
from ml.decoding import decode_excerpt
from ml.embedding import embed_excerpt
from ml.encoders import ConvNetEncoder, save_encoder
from ml.environment import Environment
from ml.isolation import WorkerLimits
from ml.registry import Registry
from search.database import Database
from search.index import begin_version, build_index
from search.load import Segments, load_bucket
from search.pool import PooledDatabase
from search.retrieval import region_vector, search_page
from search.server import embedded_server
from search.switching import activate_whole
from search.tracks import upsert_tracks
from search.verification import mark_verified, measure_recall
from tests.integration.search.conftest import make_frame

API = "/api/v1/searches"
Ask = Callable[[int], tuple[int, dict[str, float]]]
"""Does a request; its status, and what it says of its stages, milliseconds."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--per-track", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=60.0, help="For each number of clients.")
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--clients", default="1,4,16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        with embedded_server(root / "postgres") as url:
            database = PooledDatabase(url)
            database.migrate()
            ids = stock(database, root, options.rows, options.per_track)
            song = make_song()
            rows = measure_floor(database, root, ids, song, options.uploads)
            with served(root) as port:
                clients = [int(number) for number in options.clients.split(",")]
                rows += [time_segments(port, ids, n, options.seconds) for n in clients]
                rows += [time_uploads(port, song, options.uploads)]
            database.close()
    added = max(0.0, rows[2]["p50_ms"] - rows[0]["p50_ms"])
    goals = [
        at_most("the web layer adds, ms, by segment", 15, added),
        at_most(f"search by segment at {options.rows} rows, p95 ms", 100, rows[2]["p95_ms"]),
        at_most("search by an upload of 4 minutes, p95 ms", 3000, rows[-1]["p95_ms"]),
        at_most("answers other than 200 and 429", 0, sum(row["errors"] for row in rows)),
    ]
    print_report("serving", rows, goals)


def stock(database: Database, root: Path, rows: int, per_track: int) -> list[str]:
    """Fill the index with generated tracks, and register an encoder; the tracks' ids."""
    ids = [f"track {number}" for number in range(rows // per_track)]
    frame = make_frame(ids).assign(duration_s=5.0 * per_track + 5)
    upsert_tracks(database, frame)
    encoder = root / "encoder"
    save_encoder(ConvNetEncoder(seed_weights(ConvNetSettings(), 0)), encoder)
    registry = Registry(Environment(data_dir=root).tracking_uri, root / "mlflow")
    with registry.start_run("convnet", "benchmark") as run:
        run.log_encoder(encoder)
    version = registry.register(run.run_id, "benchmark").number
    begin_version(database, version, "music-encoder", run.run_id)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(max(1, len(ids) // 100), 128))
    for bucket, members in frame.groupby("bucket"):
        tracks = list(members["track_id"])
        load_bucket(database, version, int(str(bucket)), draw(tracks, per_track, centres, rng), "x")
    build_index(database, version)
    report = measure_recall(database, version, sample=100)
    mark_verified(database, version, report)
    activate_whole(database, version)
    return ids


def draw(
    tracks: list[str],
    per_track: int,
    centres: NDArray[np.float64],
    rng: np.random.Generator,
) -> Segments:
    """Draw windows around a point of each track, the tracks in clusters."""
    middle = centres[rng.integers(len(centres), size=len(tracks))]
    middle = middle + 0.7 * rng.normal(size=middle.shape)
    vectors = np.repeat(middle, per_track, axis=0)
    vectors += 0.5 * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.tile(5000 * np.arange(per_track), len(tracks))
    names = [track for track in tracks for _ in range(per_track)]
    return Segments(names, starts, starts + 10_000, vectors.astype(np.float32))


def make_song() -> bytes:
    """Write four minutes of noise with a beat as an mp3."""
    rng = np.random.default_rng(0)
    beat = np.abs(np.sin(2 * np.pi * np.arange(240 * 44_100) / 44_100))
    file = io.BytesIO()
    soundfile.write(file, 0.1 * beat * rng.normal(size=len(beat)), 44_100, format="MP3")
    return file.getvalue()


def measure_floor(
    database: Database, root: Path, ids: Sequence[str], song: bytes, uploads: int
) -> list[dict[str, Any]]:
    """Do the same work in this process."""

    def by_segment(number: int) -> tuple[int, dict[str, float]]:
        track_id = ids[number % len(ids)]
        vector, _ = region_vector(database, 1, track_id, 0, 10_000)
        search_page(database, vector, 1, 21, excluded=[track_id])
        return 200, {}

    path = root / "song.mp3"
    path.write_bytes(song)
    encoder = ConvNetEncoder(seed_weights(ConvNetSettings(), 0))

    def by_file(_: int) -> tuple[int, dict[str, float]]:
        begin = time.perf_counter()
        samples = decode_excerpt(path, 60_000, 70_000, AudioLimits(), WorkerLimits())
        decoded = time.perf_counter()
        vector, _ = embed_excerpt(encoder, samples)
        encoded = time.perf_counter()
        search_page(database, vector, 1, 21)
        stages = {"decode": decoded - begin, "encode": encoded - decoded}
        stages["query"] = time.perf_counter() - encoded
        return 200, {name: 1000 * spent for name, spent in stages.items()}

    by_segment(0), by_file(0)
    return [
        run("by segment, in process", by_segment, 1, limit=200),
        run("by upload, in process", by_file, 1, limit=uploads),
    ]


def time_segments(port: int, ids: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """Search by segment over HTTP with so many clients at once."""
    local = threading.local()

    def ask(number: int) -> tuple[int, dict[str, float]]:
        body = json.dumps({"track_id": ids[number % len(ids)], "start_ms": 0})
        return post(connection(local, port), body.encode(), "application/json")

    return run(f"by segment, HTTP, {clients} clients", ask, clients, seconds=seconds)


def time_uploads(port: int, song: bytes, uploads: int) -> dict[str, Any]:
    """Search by an upload over HTTP, one after the other."""
    local = threading.local()
    head = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    region = b"".join(
        head.format(name, "").encode() + value + b"\r\n"
        for name, value in (("start_ms", b"60000"), ("end_ms", b"70000"))
    )
    file = head.format("file", '; filename="song"').encode() + song + b"\r\n--b--\r\n"

    def ask(_: int) -> tuple[int, dict[str, float]]:
        return post(connection(local, port), region + file, "multipart/form-data; boundary=b")

    ask(0)  # loads the encoder
    return run("by upload, HTTP", ask, 1, limit=uploads)


def connection(local: threading.local, port: int) -> HTTPConnection:
    """Give this thread's connection, kept alive."""
    if not hasattr(local, "connection"):
        local.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        local.connection.connect()
        local.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found: HTTPConnection = local.connection
    return found


def post(client: HTTPConnection, body: bytes, kind: str) -> tuple[int, dict[str, float]]:
    """Send a search; its status and ``Server-Timing``."""
    client.request("POST", API, body, {"Content-Type": kind})
    answer = client.getresponse()
    answer.read()
    parts = (
        part.partition(";dur=") for part in answer.headers.get("Server-Timing", "").split(", ")
    )
    return answer.status, {name: float(spent) for name, _, spent in parts if spent}


def run(
    name: str, ask: Ask, clients: int, *, seconds: float = 1e9, limit: int = 10**9
) -> dict[str, Any]:
    """Ask again and again; percentiles and the mean of each stage, milliseconds."""
    times: list[float] = []
    stages: dict[str, list[float]] = defaultdict(list)
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    def work(first: int) -> None:
        number = first
        while time.perf_counter() < end and number < limit:
            begin = time.perf_counter()
            status, spent = ask(number)
            times.append(1000 * (time.perf_counter() - begin))
            statuses[status] += 1
            for stage, value in spent.items():
                stages[stage].append(value)
            number += clients

    threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95 = np.percentile(times, [50, 95])
    row: dict[str, Any] = {"what": name, "p50_ms": float(p50), "p95_ms": float(p95)}
    row["per_second"] = len(times) / (time.perf_counter() - began)
    for stage in ("receive", "decode", "encode", "query", "serialise"):
        row[stage] = float(np.mean(stages[stage])) if stages[stage] else 0.0
    row["errors"] = sum(n for status, n in statuses.items() if status not in (200, 429))
    return row


@contextmanager
def served(root: Path) -> Iterator[int]:
    """Run `soundalike serve` on this state; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    foreign = ("DATABASE_URL", "MLFLOW_TRACKING_URI", "API_TOKENS_FILE")
    environment = {k: v for k, v in os.environ.items() if k not in foreign}
    command = [str(Path(sys.executable).parent / "soundalike"), "serve", "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603
        command, env=environment | {"DATA_DIR": str(root)}, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


if __name__ == "__main__":
    main()
