"""How fast the API answers, beside the same work called in one process, and what its layers cost.

The floor is that work without a server: the SQL by segment; decode, encode and the SQL by upload,
decoding here and, as the API does, in a limited process. Then over HTTP by 1, 4 and 16 clients,
by segment and by upload, each split by the server's own ``Server-Timing`` into its stages and what
is ``around`` them. At last the active model is swapped twice under load, and every answer is held
against that of its version. The server is a real one, on a database of generated windows.

    .venv/bin/python -m benchmarks.serving --rows 400000 --seconds 60
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Goal, at_least, at_most, print_report
from benchmarks.search_database import track_name
from benchmarks.serving_clients import REGION_MS, Answer, Client, run
from benchmarks.serving_site import (
    OTHER,
    SONG_SECONDS,
    VERSION,
    make_encoder,
    make_song,
    served,
    stock,
)
from ml.audio import SAMPLE_RATE, AudioLimits, Int16, decode_blocks
from ml.decoding import decode_excerpt
from ml.embedding import embed_excerpt
from ml.isolation import WorkerLimits
from search.api.stages import Stages
from search.database import Database
from search.index import activate
from search.pool import PooledDatabase
from search.retrieval import region_vector, search_page
from search.server import embedded_server

FLOOR_REQUESTS = 200
K = 21  # the API's twenty results, and the one that tells whether there are more
SWAPPED_TRACKS, SWAPPING_CLIENTS = 8, 4

WEB_LAYER_MS = 15

Row = dict[str, Any]
Gist = list[tuple[str, int, float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--per-track", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=60.0, help="For each number of clients.")
    parser.add_argument("--uploads", type=int, default=20, help="Of the floor.")
    parser.add_argument("--clients", default="1,4,16")
    options = parser.parse_args()
    tracks, song = options.rows // options.per_track, make_song()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        with embedded_server(root / "postgres") as url:
            Database(url).migrate()
            stock(Database(url), root, options.rows, options.per_track)
            database = PooledDatabase(url)  # whose statements end soon: an index takes longer
            floor = measure_floor(database, root, tracks, song, options.uploads)
            with served(root) as port:
                client = Client(port, song)
                clients = [int(number) for number in options.clients.split(",")]
                served_rows = measure_server(client, tracks, clients, options.seconds)
                swapped, mixed, versions = swap_under_load(database, client, options.seconds)
                served_rows.append(swapped)
            database.close()
    goals = [
        *judge(floor, served_rows, options.rows),
        at_most("answers of mixed versions while the model was swapped twice", 0, mixed),
        at_least("versions that answered meanwhile", 2, versions),
        at_most("answers other than 200 and 429", 0, sum(row["errors"] for row in served_rows)),
    ]
    print_report("serving", [*floor, *served_rows], goals)


def measure_floor(
    database: Database, root: Path, tracks: int, song: bytes, uploads: int
) -> list[Row]:
    """Do the same work in this process."""

    def by_segment(number: int) -> Answer:
        track_id, stages = track_name(number % tracks), Stages()
        with stages.time("query"):
            vector, _ = region_vector(database, VERSION, track_id, 0, 10_000)
            search_page(database, vector, VERSION, K, excluded=[track_id])
        return to_answer(stages)

    path, encoder = root / "song.mp3", make_encoder(VERSION)
    path.write_bytes(song)

    def by_file(decode: Callable[[Path], Int16]) -> Answer:
        stages = Stages()
        with stages.time("decode"):
            samples = decode(path)
        with stages.time("encode"):
            vector, _ = embed_excerpt(encoder, samples)
        with stages.time("query"):
            search_page(database, vector, VERSION, K)
        return to_answer(stages)

    by_segment(0), by_file(decode_here), by_file(decode_apart)  # what is loaded once is loaded
    return [
        run("by segment, in process", by_segment, limit=FLOOR_REQUESTS),
        run("by upload, in process", lambda _: by_file(decode_here), limit=uploads),
        run("the same, decoding apart", lambda _: by_file(decode_apart), limit=uploads),
    ]


def to_answer(stages: Stages) -> Answer:
    """Give stages as the server tells them."""
    return Answer(200, {name: 1000 * spent for name, spent in stages.seconds.items()})


def decode_here(path: Path) -> Int16:
    """Decode the region in this process: the least that it can take."""
    first, last = (ms * SAMPLE_RATE // 1000 for ms in REGION_MS)
    blocks, done = [], 0
    for block in decode_blocks(path, AudioLimits()):
        blocks.append(block)
        done += len(block)
        if done >= last:
            break
    return np.concatenate(blocks)[first:last]


def decode_apart(path: Path) -> Int16:
    """Decode the region as the API does: in a process that may be ended."""
    return decode_excerpt(path, *REGION_MS, AudioLimits(), WorkerLimits())


def measure_server(
    client: Client, tracks: int, clients: Sequence[int], seconds: float
) -> list[Row]:
    """Search over HTTP: the first upload after the start, then by so many clients at once."""

    def by_segment(number: int) -> Answer:
        return client.by_segment(number % tracks)

    def by_upload(_: int) -> Answer:
        return client.by_upload()

    rows = [run("the first upload, HTTP", by_upload, limit=1)]
    rows += [run("by segment, HTTP", by_segment, n, seconds=seconds) for n in clients]
    rows += [run("by upload, HTTP", by_upload, n, seconds=seconds) for n in clients]
    return rows


def swap_under_load(database: Database, client: Client, seconds: float) -> tuple[Row, int, int]:
    """Swap the active version twice while clients search; a row, mixed answers, versions seen."""
    tracks = range(SWAPPED_TRACKS)

    def ask(number: int, version: int | None = None) -> Answer:
        if number % 2:
            return client.by_upload(version)
        return client.by_segment(number // 2 % SWAPPED_TRACKS, version)

    numbers = [2 * track for track in tracks] + [1]
    truth = {(n, v): read_gist(ask(n, v))[1] for n in numbers for v in (VERSION, OTHER)}
    seen: list[tuple[int, bool]] = []

    def ask_and_judge(number: int) -> Answer:
        answer = ask(number)
        if answer.status == 200:
            version, gist = read_gist(answer)
            place = 1 if number % 2 else number % (2 * SWAPPED_TRACKS)
            seen.append((version, gist == truth[place, version]))
        return answer

    swapping = threading.Thread(target=swap_twice, args=(database, seconds))
    swapping.start()
    row = run("both by turns, two swaps", ask_and_judge, SWAPPING_CLIENTS, seconds=seconds)
    swapping.join()
    return row, sum(not right for _, right in seen), len({version for version, _ in seen})


def swap_twice(database: Database, seconds: float) -> None:
    """Make the other version active after a third of the time, and go back after another."""
    for version in (OTHER, VERSION):
        time.sleep(seconds / 3)
        activate(database, version)


def read_gist(answer: Answer) -> tuple[int, Gist]:
    """Tell an answer's version, and what tells answers of different versions apart."""
    found = json.loads(answer.body)
    results = [(r["track_id"], r["start_ms"], round(r["distance"], 4)) for r in found["results"]]
    return found["model_version"], results


def judge(floor: Sequence[Row], rows: Sequence[Row], windows: int) -> list[Goal]:
    """Compare with what a user is promised; the web layer is judged where one client asks."""
    segments = [row for row in rows if row["what"] == "by segment, HTTP"]
    uploads = [row for row in rows if row["what"] == "by upload, HTTP"]
    first = rows[0]["p50_ms"]
    return [
        at_most(
            "the web layer adds to a search by segment, ms",
            WEB_LAYER_MS,
            segments[0]["p50_ms"] - floor[0]["p50_ms"],
        ),
        at_most(
            "the web layer adds to a search by upload, ms",
            WEB_LAYER_MS,
            uploads[0]["p50_ms"] - floor[2]["p50_ms"],
        ),
        at_most(f"by segment at {windows:,} windows, p95 ms", 100, segments[0]["p95_ms"]),
        at_most("first results by segment, p95 ms", 300, segments[0]["p95_ms"]),
        at_most(f"an upload of {SONG_SECONDS} s of mp3, p95 ms", 3000, uploads[0]["p95_ms"]),
        at_most("the first upload after the start, ms", 3000, first),
    ]


if __name__ == "__main__":
    main()
