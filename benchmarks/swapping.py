"""What changing the active version costs those who search meanwhile: nothing mixed, and how slow.

Four clients ask `similar_segments` for the neighbours of catalogue segments; first while nothing
changes, then while two versions of the same size take turns twenty times. Every answer is held
against what the version that it names answers alone.

    python -m benchmarks.swapping --rows 400000
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.report import at_least, at_most, print_report
from benchmarks.search_database import HOP_MS, load_version, make_frame, track_name
from benchmarks.vectors import draw_clips
from search.database import Connection, Database, open_database
from search.index import activate, build_index
from search.tracks import upsert_tracks
from search.verification import mark_verified, measure_recall

CLIENTS, SWAPS, QUERIES = 4, 20, 500
VERSIONS = (1, 2)
SLOWER = 2  # what p95 may become
STATEMENT = "SELECT model_version, track_id FROM similar_segments(%s, %s, 10, model_version => %s)"

Query = tuple[str, int]
Answers = list[tuple[int, str]]
"""The model version and the track of each row."""


@dataclass
class Tally:
    """What a client saw, or all of them: how long answers took, and which were wrong."""

    seconds: list[float] = field(default_factory=list)
    mixed: int = 0
    errors: int = 0
    versions: set[int] = field(default_factory=set)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.seconds + other.seconds,
            self.mixed + other.mixed,
            self.errors + other.errors,
            self.versions | other.versions,
        )


def main() -> None:
    """Measure both; print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swapping", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000, help="of each version")
    parser.add_argument("--per-track", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each measurement")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_database(None, Path(folder)) as database,
    ):
        database.migrate()
        stock(database, options.rows // options.per_track, options.per_track)
        queries = draw_queries(options.rows, options.per_track)
        truth = [learn(database, queries, version) for version in VERSIONS]
        pause = options.seconds / SWAPS
        quiet = measure(database, queries, truth, lambda _: time.sleep(pause))
        swapped = measure(database, queries, truth, lambda turn: swap(database, turn, pause))
    rows = [describe("nothing changes", quiet), describe(f"{SWAPS} swaps", swapped)]
    goals = [
        at_most("answers that mix versions", 0, quiet.mixed + swapped.mixed),
        at_most("errors", 0, quiet.errors + swapped.errors),
        at_least("versions that answered while they took turns", 2, len(swapped.versions)),
        at_most("p95 beside the quiet one", SLOWER, p95_ms(swapped) / p95_ms(quiet)),
    ]
    print_report("swapping", rows, goals)


def stock(database: Database, tracks: int, per_track: int) -> None:
    """Load, index and verify both versions; the first is active."""
    upsert_tracks(database, make_frame(tracks))
    for version in VERSIONS:
        vectors = draw_clips(tracks, per_track, seed=version)
        load_version(database, version, vectors, per_track, f"benchmark {version}")
        build_index(database, version)
        mark_verified(database, version, measure_recall(database, version))
    activate(database, VERSIONS[0])


def draw_queries(rows: int, per_track: int) -> list[Query]:
    """Draw segments to ask for: a track, and where in it."""
    drawn = np.random.default_rng(1).choice(rows, QUERIES, replace=False)
    return [(track_name(row // per_track), row % per_track * HOP_MS) for row in drawn.tolist()]


def learn(database: Database, queries: list[Query], version: int) -> list[Answers]:
    """Ask one version alone."""
    with database.connect() as connection:
        return [ask(connection, query, version) for query in queries]


def ask(connection: Connection, query: Query, version: int | None = None) -> Answers:
    """Ask for neighbours: of the active version, or of that one."""
    return connection.execute(STATEMENT, (*query, version), prepare=True).fetchall()


def measure(
    database: Database,
    queries: list[Query],
    truth: list[list[Answers]],
    turn: Callable[[int], None],
) -> Tally:
    """Let clients ask for as long as the turns take."""
    tallies, done = [Tally() for _ in range(CLIENTS)], threading.Event()

    def run(client: int) -> None:
        tally = tallies[client]
        number = client * len(queries) // CLIENTS
        with database.connect() as connection:
            connection.autocommit = True
            while not done.is_set():
                number = (number + 1) % len(queries)
                started = time.perf_counter()
                try:
                    found = ask(connection, queries[number])
                except Exception:  # noqa: BLE001  # whatever it is, it is counted
                    tally.errors += 1
                    continue
                tally.seconds.append(time.perf_counter() - started)
                versions = {version for version, _ in found}
                tally.versions |= versions
                tally.mixed += not any(found == answers[number] for answers in truth)

    clients = [threading.Thread(target=run, args=(client,)) for client in range(CLIENTS)]
    for client in clients:
        client.start()
    for number in range(SWAPS):
        turn(number)
    done.set()
    for client in clients:
        client.join()
    return sum(tallies, Tally())


def swap(database: Database, turn: int, pause: float) -> None:
    """Make the other version active, and leave it so for a while."""
    activate(database, VERSIONS[(turn + 1) % len(VERSIONS)])
    time.sleep(pause)


def p95_ms(tally: Tally) -> float:
    """Tell the time of the slowest twentieth, milliseconds."""
    return float(np.percentile(tally.seconds, 95)) * 1e3


def describe(what: str, tally: Tally) -> dict[str, object]:
    """One row of the table."""
    p50, p95, p99 = np.percentile(tally.seconds, [50, 95, 99]) * 1e3
    return {
        "while": what,
        "answers": len(tally.seconds),
        "p50, ms": f"{p50:.2f}",
        "p95": f"{p95:.2f}",
        "p99": f"{p99:.2f}",
        "slowest": f"{max(tally.seconds) * 1e3:.1f}",
        "mixed": tally.mixed,
        "errors": tally.errors,
    }


if __name__ == "__main__":
    main()
