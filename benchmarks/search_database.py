"""The same search in Postgres: by hand in SQL, tuned in several ways, and by our functions.

Points are named by their row number, tracks by theirs.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg import sql

from benchmarks.timing import Ask
from search.database import Connection, Database
from search.index import activate, begin_version, build_index
from search.load import Segments, load_bucket
from search.tracks import upsert_tracks

Vectors = NDArray[np.float32]
Parameters = tuple[object, ...] | Mapping[str, object]
HOP_MS, BUCKETS = 5_000, 100
VERSION = 1
TABLE = "embeddings_v1"

BARE = "SELECT track_id, start_ms FROM embeddings_v1 ORDER BY embedding <-> %s LIMIT 10"
HALF_RERANKED = """
    WITH near AS MATERIALIZED (
        SELECT track_id, start_ms, embedding FROM embeddings_v1
        ORDER BY embedding::halfvec(128) <-> %s::halfvec(128) LIMIT 20
    )
    SELECT track_id, start_ms FROM near ORDER BY embedding <-> %s LIMIT 10"""
BINARY_RERANKED = """
    WITH near AS MATERIALIZED (
        SELECT track_id, start_ms, embedding FROM embeddings_v1
        ORDER BY binary_quantize(embedding)::bit(128) <~> binary_quantize(%s::vector)::bit(128)
        LIMIT 1000
    )
    SELECT track_id, start_ms FROM near ORDER BY embedding <-> %s LIMIT 10"""
# What an analyst would write by hand for the answer of similar_segments.
DISTINCT = """
    WITH near AS MATERIALIZED (
        SELECT track_id, start_ms, end_ms, embedding <-> %(query)s AS distance
        FROM embeddings_v1 ORDER BY embedding <-> %(query)s LIMIT %(fetch)s
    ), nearest AS (
        SELECT DISTINCT ON (track_id) * FROM near WHERE track_id <> %(track)s
        ORDER BY track_id, distance
    )
    SELECT n.track_id, t.title, t.artist, t.genres, t.moods, n.distance, n.start_ms, n.end_ms
    FROM nearest n JOIN tracks t USING (track_id)
    WHERE t.state = 'served' ORDER BY n.distance LIMIT 10"""

_PLAIN = "hnsw (embedding vector_l2_ops) WITH (m = {}, ef_construction = {})"
INDEXES = {
    "m = 16": _PLAIN.format(16, 256),
    "ef_construction = 128": _PLAIN.format(24, 128),
    "halfvec": "hnsw ((embedding::halfvec(128)) halfvec_l2_ops)"
    " WITH (m = 24, ef_construction = 256)",
    "binary": "hnsw ((binary_quantize(embedding)::bit(128)) bit_hamming_ops)"
    " WITH (m = 24, ef_construction = 256)",
}
RERANKED = {"halfvec": HALF_RERANKED, "binary": BINARY_RERANKED}


@dataclass(frozen=True)
class Built:
    """Seconds of the load and the build, and bytes of the table and the index."""

    load_s: float
    build_s: float
    table: int
    index: int


@dataclass
class SqlSearch:
    """A statement, asked by the number of a query.

    Parameters
    ----------
    database : Database
        Populated.
    statement : LiteralString
        Of psycopg's form.
    parameters : list
        The parameters of each query, a tuple or a dict.
    per_track : int
        Rows of a track; 0 if the answer is tracks.
    prepared, binary : bool
        Whether the statement is prepared once, and numbers travel in binary form.
    pooled : bool
        Whether a client keeps its connection.
    iterative : bool
        Whether the index is scanned on where a filter leaves too few rows.
    setting : str
        What the breadth sets.
    """

    database: Database
    statement: LiteralString
    parameters: Sequence[Parameters]
    per_track: int
    prepared: bool = True
    binary: bool = True
    pooled: bool = True
    iterative: bool = True
    setting: str = "hnsw.ef_search"
    breadth: int = 40

    def __post_init__(self) -> None:
        self._connections: list[Connection] = []

    def widen(self, breadth: int) -> None:
        """Search that broadly from now on, on every connection."""
        self.breadth = breadth
        for connection in self._connections:
            self._set_up(connection)

    def client(self) -> Ask:
        """Connect; the answers are row or track numbers."""
        if not self.pooled:
            return self._ask_on_new_connection
        connection = self.database.connect()
        self._connections.append(connection)
        self._set_up(connection)
        return lambda i: self._ask(connection, i)

    def close(self) -> None:
        """Disconnect every client."""
        for connection in self._connections:
            connection.close()

    def _ask_on_new_connection(self, i: int) -> list[int]:
        with self.database.connect() as connection:
            self._set_up(connection)
            return self._ask(connection, i)

    def _set_up(self, connection: Connection) -> None:
        connection.autocommit = True
        connection.prepare_threshold = 0 if self.prepared else None
        connection.execute("SELECT set_config(%s, %s, false)", (self.setting, str(self.breadth)))
        scan = "relaxed_order" if self.iterative else "off"
        connection.execute("SELECT set_config('hnsw.iterative_scan', %s, false)", (scan,))

    def _ask(self, connection: Connection, i: int) -> list[int]:
        cursor = connection.execute(self.statement, self.parameters[i], binary=self.binary)
        rows = cursor.fetchall()
        if not self.per_track:
            return [number(row[0]) for row in rows]
        return [number(row[0]) * self.per_track + row[1] // HOP_MS for row in rows]


def populate(database: Database, vectors: Vectors, per_track: int) -> Built:
    """Load vectors as a verified, active version of tracks with so many segments each."""
    tracks = len(vectors) // per_track
    upsert_tracks(database, make_frame(tracks))
    started = time.perf_counter()
    load_version(database, VERSION, vectors, per_track)
    loaded = time.perf_counter()
    build_index(database, VERSION)
    built = time.perf_counter()
    with database.connect() as connection:
        connection.execute("UPDATE models SET state = 'verified', recall = 1")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE tracks")
    activate(database, VERSION)
    sizes = (relation_size(database, TABLE), relation_size(database, f"{TABLE}_hnsw"))
    return Built(loaded - started, built - loaded, *sizes)


def load_version(
    database: Database,
    version: int,
    vectors: Vectors,
    per_track: int,
    run_id: str = "benchmark",
) -> None:
    """Load vectors as a version of tracks with so many segments each, bucket by bucket."""
    begin_version(database, version, "benchmark", run_id)
    tracks = len(vectors) // per_track
    for bucket in range(BUCKETS):
        segments = make_segments(np.arange(bucket, tracks, BUCKETS), vectors, per_track)
        load_bucket(database, version, bucket, segments, run_id)


def build_tuned(database: Database, kind: str) -> Built:
    """Build an index of `INDEXES` in place of the one there is."""
    statement = f"CREATE INDEX tuned ON {TABLE} USING {INDEXES[kind]}"
    with database.connect() as connection:
        connection.autocommit = True
        connection.execute(f"DROP INDEX IF EXISTS {TABLE}_hnsw, tuned")
        connection.execute("SET maintenance_work_mem = '1GB'")
        started = time.perf_counter()
        connection.execute(sql.SQL(statement))
        build_s = time.perf_counter() - started
        connection.execute(f"ANALYZE {TABLE}")
    return Built(0, build_s, relation_size(database, TABLE), relation_size(database, "tuned"))


def relation_size(database: Database, name: str) -> int:
    """Bytes of a table or index."""
    with database.transaction() as connection:
        row = connection.execute("SELECT pg_relation_size(%s::regclass)", (name,)).fetchone()
    return int(row[0]) if row else 0


def make_frame(tracks: int) -> pd.DataFrame:
    """Give so many tracks metadata; buckets in turn."""
    ids = [track_name(number) for number in range(tracks)]
    return pd.DataFrame(
        {
            "track_id": ids,
            "title": [f"Title {number}" for number in range(tracks)],
            "artist": [f"Artist {number // 20}" for number in range(tracks)],
            "album": "",
            "genres": [(f"genre {number % 12}",) for number in range(tracks)],
            "moods": [(f"mood {number % 8}",) for number in range(tracks)],
            "split": "train",
            "bucket": [number % BUCKETS for number in range(tracks)],
            "digest": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
            "duration_s": 240.0,
        }
    )


def make_segments(members: NDArray[np.int64], vectors: Vectors, per_track: int) -> Segments:
    """Segments of some tracks, by number, every five seconds."""
    rows = (members[:, None] * per_track + np.arange(per_track)).ravel()
    starts = np.tile(HOP_MS * np.arange(per_track), len(members))
    ids = [track_name(int(track)) for track in np.repeat(members, per_track)]
    return Segments(ids, starts, starts + 2 * HOP_MS, vectors[rows])


def track_name(track: int) -> str:
    """Name a track."""
    return f"track {track:07d}"


def number(track_id: object) -> int:
    """Tell a track's number from its name."""
    return int(str(track_id)[6:])
