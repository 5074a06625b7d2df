"""Loading embeddings: `load_buckets` beside a bare binary COPY of the same rows, and slower ways.

The bare COPY gets its bytes ready-made and goes in one piece into a table of the same columns,
constraints and primary key; `load_buckets` encodes them, checks the tracks, and commits a hundred
buckets one by one. Both are timed by turns. Then the price of a track that comes later, into the
live version's table with its index: its own rows, as the pipeline does, and its whole bucket anew.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from pgvector import Vector
from psycopg import sql

from benchmarks.report import at_least, print_report
from benchmarks.search_database import BUCKETS, HOP_MS, make_frame, make_segments, track_name
from benchmarks.vectors import Vectors, draw_clips
from search.database import Database, open_database
from search.index import begin_version, build_index, retire
from search.load import BucketLoad, Segments, encode_copy, load_bucket, load_buckets
from search.tracks import upsert_tracks

GOAL, ROUNDS = 0.8, 3
BARE, OURS = "bare COPY, bytes ready", "load_buckets"
SLOW_ROWS = 20_000  # of the ways that go row by row
COLUMNS = sql.SQL("(model_version, track_id, bucket, start_ms, end_ms, embedding)")
ROW_BY_ROW = sql.SQL("INSERT INTO bare {} VALUES (%s, %s, %s, %s, %s, %s)").format(COLUMNS)
COPY_ROWS = sql.SQL("COPY bare {} FROM STDIN (FORMAT BINARY)").format(COLUMNS)
TYPES = ["int4", "text", "int2", "int4", "int4", "vector"]


def main() -> None:
    """Load the same rows in each way; print their rates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--per-track", type=int, default=10)
    arguments = parser.parse_args()
    tracks, per_track = arguments.rows // arguments.per_track, arguments.per_track
    vectors = draw_clips(tracks, per_track)
    buckets = [
        make_segments(np.arange(bucket, tracks, BUCKETS), vectors, per_track)
        for bucket in range(min(BUCKETS, tracks))
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        open_database(None, Path(folder)) as database,
    ):
        database.migrate()
        upsert_tracks(database, make_frame(tracks + 1))
        rates = measure_rates(database, vectors, buckets, per_track)
        alone_s, bucket_s = measure_addition(database, tracks, buckets, per_track)
    bare = rates[BARE]
    rows: list[dict[str, object]] = [
        {
            "way": way,
            "rows": len(vectors) if way in (BARE, OURS) else min(len(vectors), SLOW_ROWS),
            "rows/s": f"{rate:,.0f}",
            "beside bare": f"{rate / bare:.2f}",
        }
        for way, rate in rates.items()
    ]
    added = {
        f"a track's {per_track} rows, with the index": (per_track, alone_s),
        "the same by its whole bucket": (len(buckets[tracks % BUCKETS]) + per_track, bucket_s),
    }
    rows += [
        {
            "way": f"{way}: {seconds:.2f} s",
            "rows": n,
            "rows/s": f"{n / seconds:,.0f}",
            "beside bare": "",
        }
        for way, (n, seconds) in added.items()
    ]
    goal = at_least("load_buckets beside a bare COPY", GOAL, rates[OURS] / bare)
    print_report("load", rows, [goal])


def measure_rates(
    database: Database, vectors: Vectors, buckets: list[Segments], per_track: int
) -> dict[str, float]:
    """Measure the rows a second of each way."""
    everything = make_segments(np.arange(len(vectors) // per_track), vectors, per_track)
    ready = list(encode_copy(1, 0, everything))
    seconds = np.empty((ROUNDS, 2))
    for times in seconds:
        make_bare(database)
        times[:] = time_it(lambda: copy_bare(database, ready)), load_all(database, buckets)
    bare, ours = len(vectors) / np.median(seconds, axis=0)
    rates = {BARE: float(bare), OURS: float(ours)}
    few = slow_rows(vectors[:SLOW_ROWS], per_track)
    for way, send in {"COPY row by row": copy_rows, "executemany": insert_rows}.items():
        make_bare(database)
        rates[way] = len(few) / time_it(partial(send, database, few))
    return rates


def time_it(work: Callable[[], None]) -> float:
    """Measure the seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def load_all(database: Database, buckets: list[Segments]) -> float:
    """Measure the seconds to load an empty version by buckets; it is retired again."""
    begin_version(database, 1, "benchmark", "benchmark")
    started = time.perf_counter()
    load(database, buckets)
    seconds = time.perf_counter() - started
    retire(database, 1)
    return seconds


def load(database: Database, buckets: list[Segments]) -> None:
    """Load the buckets as the pipeline does."""
    loads = (BucketLoad(number, rows, fingerprints(rows)) for number, rows in enumerate(buckets))
    for _ in load_buckets(database, 1, loads):
        pass


def fingerprints(rows: Segments) -> dict[str, str]:
    """Give every track the same one."""
    return dict.fromkeys(rows.track_ids, "benchmark")


def make_bare(database: Database) -> None:
    """Make an empty table like a version's, beforehand: in its own transaction it is logged."""
    with database.transaction() as connection:
        connection.execute("DROP TABLE IF EXISTS bare")
        connection.execute("CREATE TABLE bare (LIKE embeddings INCLUDING ALL)")


def copy_bare(database: Database, ready: list[bytes]) -> None:
    """Send the bytes as they are."""
    with (
        database.transaction() as connection,
        connection.cursor() as cursor,
        cursor.copy(COPY_ROWS) as copy,
    ):
        for block in ready:
            copy.write(block)


def slow_rows(vectors: Vectors, per_track: int) -> list[tuple[object, ...]]:
    """Make rows as Python holds them."""
    return [
        (1, track_name(row // per_track), 0, start, start + 2 * HOP_MS, Vector(vector))
        for row, vector in enumerate(vectors)
        for start in [row % per_track * HOP_MS]
    ]


def copy_rows(database: Database, rows: list[tuple[object, ...]]) -> None:
    """Send one row after the other, in binary form."""
    with (
        database.transaction() as connection,
        connection.cursor() as cursor,
        cursor.copy(COPY_ROWS) as copy,
    ):
        copy.set_types(TYPES)
        for row in rows:
            copy.write_row(row)


def insert_rows(database: Database, rows: list[tuple[object, ...]]) -> None:
    """Insert by executemany, which psycopg sends as a pipeline."""
    with database.transaction() as connection:
        connection.cursor().executemany(ROW_BY_ROW, rows)


def measure_addition(
    database: Database, track: int, buckets: list[Segments], per_track: int
) -> tuple[float, float]:
    """Measure the seconds of a track added to an index: its rows alone, and with its bucket."""
    begin_version(database, 1, "benchmark", "benchmark")
    load(database, buckets)
    build_index(database, 1)
    number = track % BUCKETS
    bucket = buckets[number]
    vectors = draw_clips(track + 1, per_track, seed=2)
    new = make_segments(np.array([track]), vectors, per_track)
    both = Segments(
        [*bucket.track_ids, *new.track_ids],
        np.concatenate([bucket.start_ms, new.start_ms]),
        np.concatenate([bucket.end_ms, new.end_ms]),
        np.concatenate([bucket.embeddings, new.embeddings]),
    )

    def add() -> None:
        load = BucketLoad(number, new, fingerprints(new), kept=fingerprints(bucket))
        list(load_buckets(database, 1, [load]))

    def replace() -> None:
        load_bucket(database, 1, number, both, "benchmark, later")

    return time_it(add), time_it(replace)


if __name__ == "__main__":
    main()
