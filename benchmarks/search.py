"""Search beside what one would use instead: bare SQL, and libraries in memory, at equal recall.

Generated unit vectors (40,000 tracks of ten clips, or of overlapping windows), or embeddings of
real music tiled with noise, are searched: for the ten segments nearest to each of a thousand
vectors, of tracks that are held out of the index, and for the ten distinct tracks nearest to each
of a thousand segments that are in it, their own track left out (by hand, and by the SQL functions
of this project). Each search is widened until its recall@10 is 0.998, then timed.

    python -m benchmarks.search --sizes 100000,400000,1900000
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import Vector

from benchmarks.neighbours import Numbers, find_rows, find_tracks
from benchmarks.report import Goal, at_least, at_most, print_report
from benchmarks.search_database import (
    BARE,
    DISTINCT,
    INDEXES,
    RERANKED,
    Built,
    SqlSearch,
    build_tuned,
    populate,
    track_name,
)
from benchmarks.search_libraries import LIBRARIES, measure_library
from benchmarks.timing import BREADTHS, Timing, time_search
from benchmarks.vectors import Vectors, draw_clips, draw_windows, tile
from search.database import Database, open_database

RECALL, TRACK_RECALL = 0.998, 0.99
SQL_GOAL, LIBRARY_GOAL, DISTINCT_GOAL_MS = 1.25, 3, 5
SEGMENTS, TRACKS = "segments", "tracks"
BARE_NAME, HAND_NAME = "pgvector, bare SQL", "pgvector, distinct tracks by hand"
BROAD_NAME = "the same, as broad as our functions"
BROAD = [breadth for breadth in BREADTHS if breadth >= 100]  # ours are never narrower

Row = dict[str, object]
Search = tuple[str, SqlSearch, Numbers, Sequence[int]]
"""Name, searcher, truth, and the breadths to try."""


def main() -> None:
    """Measure each size; the goals are those of the first."""
    arguments = parse_arguments()
    rows: list[Row] = []
    goals: list[Goal] = []
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            results = measure_size(arguments, size, Path(folder))
        rows += results.rows
        goals = goals or judge(results)
    print_report("search", rows, goals)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument(
        "--sizes", type=lambda text: [int(size) for size in text.split(",")], help="several --rows"
    )
    parser.add_argument("--per-track", type=int, default=10, help="48: overlapping windows")
    parser.add_argument(
        "--embeddings", type=Path, help=".npy of real embeddings, tiled with noise to the size"
    )
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5, help="of each number of clients")
    parser.add_argument(
        "--skip", default="", help="of libraries, tuning; comma between; for growing sizes"
    )
    arguments = parser.parse_args()
    arguments.sizes = arguments.sizes or [arguments.rows]
    return arguments


@dataclass
class Results:
    """What was measured at one size: rows of the table, and timings by name."""

    size: int
    rows: list[Row] = field(default_factory=list)
    timings: dict[str, Timing] = field(default_factory=dict)

    def note(self, name: str, timing: Timing, built: Mapping[str, object]) -> None:
        """Add a search, and show it at once: the whole takes long."""
        self.timings[name] = timing
        self.rows.append(describe(self.size, name, timing, built))
        print(self.rows[-1], flush=True)


def measure_size(arguments: argparse.Namespace, size: int, folder: Path) -> Results:
    """Measure everything at one size, in an empty folder."""
    vectors, held = make_vectors(arguments, size)
    asked = np.random.default_rng(1).choice(len(vectors), arguments.queries, replace=False)
    truth = find_rows(vectors, held)
    results = Results(len(vectors))
    if "libraries" not in arguments.skip:
        for name, array in (("vectors", vectors), ("queries", held), ("truth", truth)):
            np.save(folder / f"{name}.npy", array)
        for name in LIBRARIES:
            found = measure_library(name, folder, RECALL, arguments.seconds)
            results.note(name, found.timing, sizes(found.build_s, found.memory, found.disk))
    with open_database(None, folder) as database:
        database.migrate()
        built = built_sizes(populate(database, vectors, arguments.per_track))
        searches = [
            *list_bare_searches(database, held, truth, arguments.per_track),
            *list_track_searches(database, vectors, asked, arguments.per_track),
        ]
        for search in searches:
            name, searcher, expected, breadths = search
            timing = time_search(searcher, expected, RECALL, arguments.seconds, breadths)
            results.note(name, timing, built if name == BARE_NAME else {})
            searcher.close()
        if "tuning" not in arguments.skip:
            measure_tuning(database, held, truth, arguments, results)
    return results


def measure_tuning(
    database: Database,
    queries: Vectors,
    truth: Numbers,
    arguments: argparse.Namespace,
    results: Results,
) -> None:
    """Build other indexes in place of the project's own, and search by them."""
    for kind in INDEXES:
        built = build_tuned(database, kind)
        searcher = tune(database, kind, queries, arguments.per_track)
        timing = time_search(searcher, truth, RECALL, arguments.seconds)
        results.note(f"pgvector, {kind}", timing, built_sizes(built))
        searcher.close()


def make_vectors(arguments: argparse.Namespace, size: int) -> tuple[Vectors, Vectors]:
    """Draw vectors, or tile the given ones; the second are one each of tracks held out."""
    per_track = arguments.per_track
    rows = size // per_track * per_track
    tracks = rows // per_track + arguments.queries
    if arguments.embeddings:
        drawn = tile(np.load(arguments.embeddings), tracks * per_track)
    else:
        drawn = (draw_windows if per_track > 10 else draw_clips)(tracks, per_track)
    return drawn[:rows], drawn[rows::per_track]


def list_bare_searches(
    database: Database, held: Vectors, truth: Numbers, per_track: int
) -> Iterator[Search]:
    """List the ways to ask for segments by bare SQL."""
    bare = [(Vector(vector),) for vector in held]
    ways: dict[str, dict[str, Any]] = {
        BARE_NAME: {},
        "the same, not prepared": {"prepared": False},
        "the same, text parameters": {"binary": False},
        "the same, one scan of the index": {"iterative": False},
        "the same, a connection a query": {"pooled": False},
    }
    for name, how in ways.items():
        yield name, SqlSearch(database, BARE, bare, per_track, **how), truth, BREADTHS


def list_track_searches(
    database: Database, vectors: Vectors, asked: Numbers, per_track: int
) -> Iterator[Search]:
    """List the searches for distinct tracks, by hand and by the project's functions."""
    vector = [Vector(vectors[row]) for row in asked]
    bare = [(v,) for v in vector]
    number = asked // per_track
    own = [track_name(int(track)) for track in number]
    tracks = find_tracks(vectors, vectors[asked], number, per_track)
    means = vectors.reshape(-1, per_track, vectors.shape[1])[number].mean(axis=1)
    fetch = max(100, 11 * per_track)  # as our functions do
    by_hand = [
        {"query": v, "track": track, "fetch": fetch} for v, track in zip(vector, own, strict=True)
    ]
    moments = [(track, int(row) % per_track * 5000) for track, row in zip(own, asked, strict=True)]
    for name, breadths in ((HAND_NAME, BREADTHS), (BROAD_NAME, BROAD)):
        yield name, SqlSearch(database, DISTINCT, by_hand, 0), tracks, breadths
    ours: Mapping[str, tuple[Any, Any, Any]] = {
        "similar_segments": (
            "SELECT track_id FROM similar_segments(%s, %s, 10)",
            moments,
            tracks,
        ),
        "similar_to_vector": (
            "SELECT track_id FROM similar_to_vector(%s, 11)",
            bare,
            np.column_stack([number, tracks]),  # a vector's own track is found too
        ),
        "similar_tracks": (
            "SELECT track_id FROM similar_tracks(%s, 10)",
            [(track,) for track in own],
            find_tracks(vectors, means, number, per_track),
        ),
    }
    for name, (statement, parameters, expected) in ours.items():
        search = SqlSearch(database, statement, parameters, 0, setting="soundalike.ef_search")
        yield name, search, expected, BROAD


def tune(database: Database, kind: str, queries: Vectors, per_track: int) -> SqlSearch:
    """Search by another kind of index, its answers put in order by the full vectors."""
    vector = [Vector(query) for query in queries]
    if kind in RERANKED:
        return SqlSearch(database, RERANKED[kind], [(v, v) for v in vector], per_track)
    return SqlSearch(database, BARE, [(v,) for v in vector], per_track)


def describe(size: int, name: str, timing: Timing, built: Mapping[str, object]) -> Row:
    """One row of the table."""
    empty = sizes(None, None, None)
    one, two, four = timing.rates
    return {
        "rows": size,
        "search": name,
        "ef": timing.breadth,
        "recall@10": f"{timing.recall:.4f}",
        "missed": timing.missed,
        "p50, ms": f"{timing.p50_ms:.2f}",
        "p95": f"{timing.p95_ms:.2f}",
        "p99": f"{timing.p99_ms:.2f}",
        "1 client, /s": f"{one:.0f}",
        "2": f"{two:.0f}",
        "4": f"{four:.0f}",
        **empty,
        **built,
    }


def sizes(build_s: float | None, memory: int | None, disk: int | None) -> dict[str, object]:
    """Say what it takes, in three columns."""
    return {
        "build, s": "" if build_s is None else f"{build_s:.1f}",
        "memory, MB": "" if memory is None else f"{memory / 1e6:.0f}",
        "disk, MB": "" if disk is None else f"{disk / 1e6:.0f}",
    }


def built_sizes(built: Built) -> dict[str, object]:
    """Say the same for Postgres: in memory is the index, on disk the table as well."""
    return sizes(built.build_s, built.index, built.table + built.index)


def judge(results: Results) -> list[Goal]:
    """Compare with the goals."""
    timings = results.timings
    bare, by_hand = timings[BARE_NAME].p50_ms, timings[HAND_NAME].p50_ms
    ours = timings["similar_segments"]
    goals = [
        at_most(
            "similar_segments beside bare SQL for the same answer", SQL_GOAL, ours.p50_ms / by_hand
        ),
        at_most(
            "similar_segments beside bare SQL for the same answer, equally broad",
            SQL_GOAL,
            ours.p50_ms / timings[BROAD_NAME].p50_ms,
        ),
        at_most("similar_segments beside bare SQL for ten segments", SQL_GOAL, ours.p50_ms / bare),
        at_most(
            f"similar_segments at {results.size:,} rows, p50 in ms", DISTINCT_GOAL_MS, ours.p50_ms
        ),
        at_least("similar_segments, recall of distinct tracks", TRACK_RECALL, ours.recall),
    ]
    if "hnswlib" in timings:
        ratio = bare / timings["hnswlib"].p50_ms
        goals.append(at_most("bare SQL beside hnswlib", LIBRARY_GOAL, ratio))
    return goals


if __name__ == "__main__":
    main()
