"""How well the index finds what an exact search finds.

On clustered data an approximate index fails by whole queries: the mean recall may look well while
some queries find nothing right. So both are measured, and both must be good.
"""

import time
from dataclasses import dataclass

import numpy as np
from psycopg import sql

from ml.errors import DatabaseError
from search.database import Connection, Database
from search.index import active_version
from search.queries import query

MINIMUM_RECALL = 0.98
MAXIMUM_MISSED = 1e-3  # share of queries
REINDEX_SHARE = 0.1  # of deleted rows, from which on the index is worth building anew
LARGEST_EF_SEARCH = 1000  # that pgvector takes
TIE = 1e-6  # two neighbours at distances closer than this are equally right


@dataclass(frozen=True)
class RecallReport:
    """Recall of a version's index over a sample of its own segments.

    Parameters
    ----------
    recall : float
        Mean share of the `k` true nearest segments that the index found, 0 to 1.
    missed : int
        Queries of which it found none.
    queries : int
        Size of the sample.
    k : int
        Neighbours asked for.
    ef_search : int
        The search's breadth, ``hnsw.ef_search``: what the SQL function `search_breadth` gives for
        `k` tracks, as in every search.
    p50_ms, p95_ms : float
        Time of an indexed query, as the client sees it, milliseconds.
    rows : int
        Segments in the version.
    version : int
        The version.
    deleted : int
        Rows deleted since its index was built.
    """

    recall: float
    missed: int
    queries: int
    k: int
    ef_search: int
    p50_ms: float
    p95_ms: float
    rows: int
    version: int = 0
    deleted: int = 0

    @property
    def passed(self) -> bool:
        """Whether the version may serve."""
        return self.recall >= MINIMUM_RECALL and self.missed <= MAXIMUM_MISSED * self.queries

    @property
    def needs_reindex(self) -> bool:
        """Whether to build the index anew: a tenth is deleted, or deletions may be to blame."""
        worn = self.deleted >= REINDEX_SHARE * (self.rows + self.deleted)
        return self.deleted > 0 and (worn or not self.passed)

    @property
    def verdict(self) -> str:
        """How good the index is; where it falls short, what to do."""
        found = (
            f"recall@{self.k} is {self.recall:.4f} and {self.missed} of {self.queries} queries "
            f"are wholly missed, with ef_search = {self.ef_search}"
        )
        advice = (
            f" {self.deleted:,} rows were deleted since it was built: build it anew "
            f"(`soundalike models reindex {self.version}`)."
            if self.needs_reindex
            else ""
        )
        if self.passed:
            return f"The index is good: {found}.{advice}"
        if advice:
            return f"The index is not good enough any more: {found}.{advice}"
        return (
            f"The index is not good enough: {found}; needed are {MINIMUM_RECALL} and at most one "
            f"in 1000. {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        if self.ef_search < LARGEST_EF_SEARCH:
            wider = min(LARGEST_EF_SEARCH, 2 * self.ef_search)
            return (
                "Raise soundalike.ef_search (ALTER DATABASE ... SET soundalike.ef_search = "
                f"{wider}) and measure again."
            )
        return "Raise ef_construction and m in index_model, and build the index again."


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
        partition, ef_search, deleted = _prepare(connection, version, k)
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
        Of `measure_recall`.

    Raises
    ------
    DatabaseError
        If the report falls short, or the version changed since.
    """
    if not report.passed:
        raise DatabaseError(report.verdict)
    values = {**vars(report), "version": version}
    with database.transaction() as connection:
        if not connection.execute(query("mark_verified"), values).rowcount:
            raise DatabaseError(
                f"Version {version} changed since its recall was measured: build its index and "
                "measure again."
            )


def _prepare(connection: Connection, version: int, k: int) -> tuple[sql.Identifier, int, int]:
    """Set this transaction up for searches by the index; the partition, breadth, deleted rows."""
    row = connection.execute(query("prepare_recall"), {"version": version, "k": k}).fetchone()
    if row is None:
        raise DatabaseError(f"Version {version} is not loaded: load it and build its index.")
    return sql.Identifier(row[0]), int(row[1]), int(row[2])


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
