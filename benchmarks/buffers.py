"""What the server's memory for pages brings: searches of one index with more and less of it.

A graph is read at random, a page for every vector that is looked at; those that the server does not
hold are copied from the system's cache, though they lie in memory. Settings take turns on the same
version, generated and indexed once: Postgres's own, half a gigabyte, and what the embedded server
chooses by the machine. Ten segments are asked for by bare SQL, ten distinct tracks by
`similar_segments`, each widened as `benchmarks.search` widens it.

    python -m benchmarks.buffers --rows 1900000
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.neighbours import find_rows
from benchmarks.report import at_least, print_report
from benchmarks.search import (
    BARE_NAME,
    RECALL,
    Row,
    Search,
    list_bare_searches,
    list_track_searches,
)
from benchmarks.search_database import populate
from benchmarks.timing import Timing, time_search
from benchmarks.vectors import draw_clips
from search.database import Database, open_database

PER_TRACK = 10
FUNCTION = "similar_segments"
SETTINGS = {"Postgres's default": "128MB", "half a gigabyte": "512MB", "by the machine": None}
GOAL = 1.25  # times as fast as with half a gigabyte, where the index is larger than that


def main() -> None:
    """Load and index once; search under each setting."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.buffers", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_900_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2, help="of each number of clients")
    arguments = parser.parse_args()
    tracks = arguments.rows // PER_TRACK
    drawn = draw_clips(tracks + arguments.queries, PER_TRACK)
    vectors, held = drawn[: tracks * PER_TRACK], drawn[tracks * PER_TRACK :: PER_TRACK]
    asked = np.random.default_rng(1).choice(len(vectors), arguments.queries, replace=False)
    truth = find_rows(vectors, held)
    rows: list[Row] = []
    p50: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_database(None, folder) as database:
            database.migrate()
            built = populate(database, vectors, PER_TRACK)
            print(f"{built.index / 1e6:,.0f} MB, built in {built.build_s:,.0f} s", flush=True)
        for setting, size in SETTINGS.items():
            with open_database(None, folder) as database:
                choose_buffers(database, size)
            with open_database(None, folder) as database:  # started with it
                for search in (
                    *list_bare_searches(database, held, truth, PER_TRACK),
                    *list_track_searches(database, vectors, asked, PER_TRACK),
                ):
                    if search[0] in (BARE_NAME, FUNCTION):
                        timing = time_widened(search, arguments.seconds)
                        p50[setting, search[0]] = timing.p50_ms
                        rows.append(describe(setting, show_buffers(database), search[0], timing))
                        print(rows[-1], flush=True)
    before, now = list(SETTINGS)[1:]
    goals = [
        at_least(f"{name}: {before} beside {now}", GOAL, p50[before, name] / p50[now, name])
        for name in (BARE_NAME, FUNCTION)
    ]
    print_report("buffers", rows, goals)


def choose_buffers(database: Database, size: str | None) -> None:
    """Give the server so much from its next start on; None is what it chooses itself."""
    with database.connect() as connection:
        connection.autocommit = True
        connection.execute(
            f"ALTER SYSTEM SET shared_buffers = '{size}'"
            if size
            else "ALTER SYSTEM RESET shared_buffers"
        )


def show_buffers(database: Database) -> str:
    """Tell how much the server has."""
    with database.transaction() as connection:
        row = connection.execute("SHOW shared_buffers").fetchone()
    return str(row[0]) if row else ""


def time_widened(search: Search, seconds: float) -> Timing:
    """Time one search; it is asked thousands of times before, so that its pages are there."""
    _, searcher, expected, breadths = search
    timing = time_search(searcher, expected, RECALL, seconds, breadths)
    searcher.close()
    return timing


def describe(setting: str, buffers: str, name: str, timing: Timing) -> Row:
    """One row of the table."""
    one, two, four = timing.rates
    return {
        "shared_buffers": f"{buffers}, {setting}",
        "search": name,
        "ef": timing.breadth,
        "recall@10": f"{timing.recall:.4f}",
        "p50, ms": f"{timing.p50_ms:.2f}",
        "p95": f"{timing.p95_ms:.2f}",
        "1 client, /s": f"{one:.0f}",
        "2": f"{two:.0f}",
        "4": f"{four:.0f}",
    }


if __name__ == "__main__":
    main()
