"""Loading embeddings: one bucket at a time, in one transaction, by binary ``COPY``.

Of a bucket, only the tracks that are new or changed are loaded; rows of tracks that have left go in
the same transaction.

A row's binary form has a fixed layout once its track id's length is fixed, so that a numpy
structured array *is* the wire format, and rows never become Python objects. Format: "Binary
Format" under ``COPY`` in the PostgreSQL manual, and ``vector_send`` in pgvector (two int16:
dimension and zero, then float32), all big-endian.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from ml.errors import DatabaseError
from search.database import Connection, Database, translated_errors
from search.queries import query

DIMENSION = 128
CHUNK_ROWS = 500  # the server takes one in while the next is encoded
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


@dataclass(frozen=True)
class Segments:
    """Embedded segments of tracks, one a row.

    Parameters
    ----------
    track_ids : sequence of str [N]
        The tracks.
    start_ms, end_ms : np.ndarray [N]
        Where in the track, milliseconds; integers.
    embeddings : np.ndarray [N, 128]
        float32, each of norm 1.
    """

    track_ids: NDArray[np.object_] | list[str]
    start_ms: NDArray[np.integer]
    end_ms: NDArray[np.integer]
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.track_ids)
        if not len(self.start_ms) == len(self.end_ms) == n:
            raise ValueError("Give as many starts and ends as track ids.")
        if self.embeddings.shape != (n, DIMENSION):
            raise DatabaseError(
                f"The index holds {DIMENSION} numbers for each segment and was given an array "
                f"{list(self.embeddings.shape)} for {n}: use an encoder of {DIMENSION} outputs."
            )

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True)
class BucketLoad:
    """What a bucket is to hold.

    Parameters
    ----------
    bucket : int
        0 to 99.
    segments : Segments
        Rows of the tracks in `fingerprints`.
    fingerprints : mapping of str to str
        By track id, of what was embedded: the tracks that are loaded now.
    kept : mapping of str to str
        The same for tracks whose rows stay as they are; all other tracks leave the bucket.
    """

    bucket: int
    segments: Segments
    fingerprints: Mapping[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)


def load_bucket(
    database: Database, version: int, bucket: int, segments: Segments, fingerprint: str
) -> int:
    """Replace a whole bucket of a version by these rows; see `load_buckets`.

    Parameters
    ----------
    database, version
        As for `load_buckets`.
    bucket : int
        0 to 99.
    segments : Segments
        All of the bucket's; none is allowed.
    fingerprint : str
        Of what was embedded, the same for every track.

    Returns
    -------
    int
        Rows in the bucket now.

    Raises
    ------
    DatabaseError
        As `load_buckets`.
    """
    fingerprints = dict.fromkeys(segments.track_ids, fingerprint)
    (rows,) = load_buckets(database, version, [BucketLoad(bucket, segments, fingerprints)])
    return rows


def load_buckets(database: Database, version: int, loads: Iterable[BucketLoad]) -> Iterator[int]:
    """Load buckets one after the other, each in a transaction, over one connection.

    A load that is killed leaves what was there before, and a query never sees a part of it.
    Commits do not wait for the disk: what a crash of the server takes back is whole buckets, the
    record of what they were loaded from included, and whatever comes after a load waits for all
    before it.

    Parameters
    ----------
    database : Database
        Migrated, with the tracks' metadata loaded.
    version : int
        A version begun by `search.index.begin_version`.
    loads : iterable of BucketLoad
        Taken one at a time, so that they may be computed meanwhile.

    Yields
    ------
    int
        Rows that each load brought.

    Raises
    ------
    DatabaseError
        If a track is unknown or of another bucket, a vector is not of norm 1 (NaN included), a
        segment comes twice, the version was not begun, or a track that is kept has been replaced
        or removed meanwhile.
    """
    with translated_errors(), database.connect() as connection:
        connection.execute(query("commit_without_waiting"))
        connection.commit()
        for load in loads:
            yield _load(connection, version, load)


def _load(connection: Connection, version: int, load: BucketLoad) -> int:
    tracks = (Jsonb(dict(load.kept)), Jsonb(dict(load.fingerprints)))
    with connection.pipeline():  # the transaction begins on the way: a round trip less
        place = connection.execute(query("begin_bucket_load"), (version, load.bucket, *tracks))
    partition = sql.Identifier(place.fetchall()[0][0])
    with connection.cursor() as cursor:
        with cursor.copy(query("copy_embeddings").format(partition=partition)) as copy:
            for block in encode_copy(version, load.bucket, load.segments):
                copy.write(block)
        rows = cursor.rowcount
    values = (version, load.bucket, len(load.fingerprints), rows)
    with connection.pipeline():  # its answer comes with the commit's
        connection.execute(query("record_load"), values)
        connection.commit()
    return rows


def loaded_fingerprints(database: Database, version: int) -> dict[int, dict[str, str]]:
    """Tell what each bucket of a version was loaded from.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Any; a version never begun has no buckets.

    Returns
    -------
    dict of int to dict of str to str
        By bucket and track id; a track whose fingerprint has not changed need not be loaded.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        rows = connection.execute(query("loaded_fingerprints"), (version,)).fetchall()
    return {int(bucket): dict(fingerprints) for bucket, fingerprints in rows}


def encode_copy(version: int, bucket: int, segments: Segments) -> Iterator[bytes]:
    """Write rows of ``embeddings`` in the binary form of ``COPY``.

    Parameters
    ----------
    version, bucket : int
        The same for all rows.
    segments : Segments
        The rest; their order is not kept.

    Yields
    ------
    bytes
        Parts of the stream, in order.
    """
    yield HEADER
    ids = [track_id.encode() for track_id in segments.track_ids]
    lengths = np.array([len(encoded) for encoded in ids], dtype=np.int64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            yield _encode_rows(version, bucket, segments, ids, chunk, int(length))
    yield TRAILER


def _encode_rows(
    version: int,
    bucket: int,
    segments: Segments,
    ids: list[bytes],
    chunk: NDArray[np.intp],
    id_length: int,
) -> bytes:
    rows = np.zeros(len(chunk), dtype=_layout(id_length))
    rows["fields"] = 6
    for name in ("version", "track_id", "bucket", "start_ms", "end_ms", "vector"):
        rows[f"{name}_bytes"] = rows.dtype[name].itemsize
    rows["version"] = version
    rows["track_id"] = [ids[i] for i in chunk]
    rows["bucket"] = bucket
    rows["start_ms"] = segments.start_ms[chunk]
    rows["end_ms"] = segments.end_ms[chunk]
    rows["vector"]["dimension"] = DIMENSION
    rows["vector"]["numbers"] = segments.embeddings[chunk]
    return rows.tobytes()


def _layout(id_length: int) -> np.dtype[np.void]:
    """Build a row's type: a count of fields, then each field's length in bytes and its value."""
    vector = [("dimension", ">i2"), ("zero", ">i2"), ("numbers", ">f4", (DIMENSION,))]
    fields = {
        "version": ">i4",
        "track_id": f"S{id_length}",
        "bucket": ">i2",
        "start_ms": ">i4",
        "end_ms": ">i4",
        "vector": vector,
    }
    row: list[tuple[str, object]] = [("fields", ">i2")]
    for name, kind in fields.items():
        row += [(f"{name}_bytes", ">i4"), (name, kind)]
    return np.dtype(row)
