"""Measuring how well the index finds what an exact search finds."""

import time

import numpy as np
from psycopg import sql
from psycopg.rows import class_row

from ml.errors import DatabaseError
from search.database import Connection, Database
from search.index import active_version
from search.queries import query
from search.recall import RecallReport

TIE = 1e-6  # two neighbours at distances closer than this are equally right


def measure_recall(
    database: Database, version: int, *, sample: int = 1000, k: int = 10, seed: int = 0
) -> RecallReport:
    """Ask for the neighbours of some segments, by the index and exactly, and compare.

    A segment is not its own neighbour. Neighbours are compared by distance, so that duplicates
    count as equally right.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Loaded, its index built.
    sample : int
        Segments to ask for; all of them if there are fewer.
    k : int
        Neighbours of each.
    seed : int
        Chooses the sample.

    Returns
    -------
    RecallReport
        Recall, missed queries and times.

    Raises
    ------
    DatabaseError
        If the version is not loaded or holds fewer than two segments.
    """
    with database.transaction() as connection:
        partition, ef_search, deleted, loaded_at = _prepare(connection, version, k)
        counted = connection.execute(query("count_segments").format(partition=partition))
        rows = int(counted.fetchall()[0][0])
        if rows < 2:
            raise DatabaseError(f"Version {version} holds {rows} segments: load more tracks.")
        drawn = query("sample_segments").format(partition=partition)
        queries = connection.execute(drawn, (seed, sample)).fetchall()
        found, times = _ask(connection, "nearest_segments", partition, queries, k)
        true, _ = _ask(connection, "nearest_segments_exactly", partition, queries, k)
    hits = [_hits(a, b) / len(b) for a, b in zip(found, true, strict=True)]
    p50, p95 = np.percentile(np.array(times) * 1e3, [50, 95])
    return RecallReport(
        recall=float(np.mean(hits)),
        missed=hits.count(0.0),
        queries=len(queries),
        k=k,
        ef_search=ef_search,
        p50_ms=float(p50),
        p95_ms=float(p95),
        rows=rows,
        version=version,
        deleted=deleted,
        loaded_at=loaded_at,
    )


def check_recall(
    database: Database, version: int | None = None, *, sample: int = 1000
) -> RecallReport:
    """Measure a version as it is now, after what was deleted and added since its index was built.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int, optional
        The active one by default.
    sample : int
        Segments to ask for.

    Returns
    -------
    RecallReport
        With `RecallReport.needs_reindex`.

    Raises
    ------
    DatabaseError
        If no version is active, or this one is not loaded.
    """
    chosen = version or active_version(database)
    if chosen is None:
        raise DatabaseError("No model is active yet: run the pipeline (make pipeline) to its end.")
    return measure_recall(database, chosen, sample=sample)


def mark_verified(database: Database, version: int, report: RecallReport) -> None:
    """Record that a version's recall is good, which activation asks for.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        The version that the report is about.
    report : RecallReport
        Of `measure_recall`, by 1,000 queries, or as many as there are segments.

    Raises
    ------
    DatabaseError
        If the report falls short, or the version changed since.
    """
    if not report.passed:
        raise DatabaseError(report.verdict)
    values = {**vars(report), "version": version}
    with database.transaction() as connection:
        connection.execute(query("mark_verified"), values)


def verified_recall(database: Database, version: int, *, k: int = 10) -> RecallReport | None:
    """Read what was measured when a version was verified.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Any.
    k : int
        Neighbours that were asked for.

    Returns
    -------
    RecallReport or None
        None if it is not verified, or was by a lesser standard than today's.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(RecallReport))
        values = {"version": version, "k": k}
        report = cursor.execute(query("verified_recall"), values).fetchone()
    return report if report and report.passed else None


def _prepare(connection: Connection, version: int, k: int) -> tuple[sql.Identifier, int, int, str]:
    """Set this transaction up for searches by the index.

    The partition, the breadth, the rows deleted from it, and when it was loaded.
    """
    row = connection.execute(query("prepare_recall"), {"version": version, "k": k}).fetchone()
    if row is None:
        raise DatabaseError(f"Version {version} is not loaded: load it and build its index.")
    return sql.Identifier(row[0]), int(row[1]), int(row[2]), str(row[3])


def _ask(
    connection: Connection,
    name: str,
    partition: sql.Identifier,
    queries: list[tuple[object, ...]],
    k: int,
) -> tuple[list[list[float]], list[float]]:
    """Ask each query; its neighbours' distances, and its seconds."""
    statement = query(name).format(partition=partition)
    answers, times = [], []
    for track_id, start_ms, vector in queries:
        values = {"query": vector, "track_id": track_id, "start_ms": start_ms, "k": k}
        begin = time.perf_counter()
        rows = connection.execute(statement, values, binary=True).fetchall()
        times.append(time.perf_counter() - begin)
        answers.append([float(distance) for (distance,) in rows])
    return answers, times


def _hits(found: list[float], true: list[float]) -> int:
    return sum(distance <= true[-1] + TIE for distance in found)
