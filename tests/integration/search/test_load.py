"""Loading buckets of embeddings."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest

from ml.errors import DatabaseError
from search import index
from search.database import Database, open_database
from search.load import BucketLoad, Segments, load_bucket, load_buckets, loaded_fingerprints
from search.tracks import upsert_tracks

if TYPE_CHECKING:
    from tests.integration.search.conftest import Catalogue

KILLED = """
import os, signal, sys
import psycopg
import search.load as load
from search.database import Database
import numpy as np
def write_or_die(copy, block, write=psycopg.Copy.write):
    if block == load.TRAILER:
        os.kill(os.getpid(), signal.SIGKILL)
    write(copy, block)
psycopg.Copy.write = write_or_die
n = 30_000
e = np.zeros((n, 128), np.float32)
e[:, 0] = 1
s = np.arange(n)
segments = load.Segments([sys.argv[3]] * n, s, s + 1, e)
load.load_bucket(Database(sys.argv[1]), 1, int(sys.argv[2]), segments, "killed")
"""


@pytest.fixture
def begun(database: Database, catalogue: "Catalogue") -> Database:
    upsert_tracks(database, catalogue.frame)
    index.begin_version(database, 1, "music-encoder", "run-1")
    return database


@pytest.fixture
def first(catalogue: "Catalogue") -> tuple[int, Segments]:
    """Return a bucket and its segments."""
    bucket = int(catalogue.frame["bucket"][0])
    rows = catalogue.frame[catalogue.frame["bucket"] == bucket]
    return bucket, catalogue.segments(list(rows["track_id"]))


def contents(database: Database) -> list[tuple[str, int, int, int, bytes]]:
    statement = "SELECT track_id, bucket, start_ms, end_ms, embedding FROM embeddings ORDER BY 1, 3"
    with database.transaction() as connection:
        rows = connection.execute(statement).fetchall()
    return [(*row, vector.to_numpy().astype(np.float32).tobytes()) for *row, vector in rows]


def test_load_stores_exactly_what_it_was_given(
    begun: Database, first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    assert load_bucket(begun, 1, bucket, segments, "a") == len(segments)
    starts, ends = segments.start_ms.tolist(), segments.end_ms.tolist()
    vectors = [vector.tobytes() for vector in segments.embeddings]
    expected = zip(segments.track_ids, [bucket] * len(starts), starts, ends, vectors, strict=True)
    assert contents(begun) == sorted(expected)


def test_load_replaces_the_bucket_and_nothing_else(
    begun: Database, catalogue: "Catalogue", first: tuple[int, Segments]
) -> None:
    catalogue.load(begun, 1)
    before = contents(begun)
    bucket, segments = first
    assert load_bucket(begun, 1, bucket, segments, "again") == len(segments)
    assert contents(begun) == before
    half = Segments(
        segments.track_ids[::2],
        segments.start_ms[::2],
        segments.end_ms[::2],
        segments.embeddings[::2],
    )
    load_bucket(begun, 1, bucket, half, "half")
    after = contents(begun)
    assert [row for row in after if row[1] != bucket] == [r for r in before if r[1] != bucket]
    assert sum(row[1] == bucket for row in after) == len(half)


def test_load_remembers_fingerprints(begun: Database, first: tuple[int, Segments]) -> None:
    bucket, segments = first
    none = Segments([], segments.start_ms[:0], segments.end_ms[:0], segments.embeddings[:0])
    empty = 99 if bucket != 99 else 98
    tracks = set(segments.track_ids)
    load_bucket(begun, 1, bucket, segments, "a")
    assert load_bucket(begun, 1, empty, none, "none") == 0
    assert loaded_fingerprints(begun, 1) == {bucket: dict.fromkeys(tracks, "a"), empty: {}}
    load_bucket(begun, 1, bucket, segments, "b")
    assert loaded_fingerprints(begun, 1) == {bucket: dict.fromkeys(tracks, "b"), empty: {}}
    assert loaded_fingerprints(begun, 2) == {}


def test_loads_are_recorded_for_good(begun: Database, first: tuple[int, Segments]) -> None:
    bucket, segments = first
    load_bucket(begun, 1, bucket, segments, "a")
    with pytest.raises(DatabaseError, match="duplicate key"):
        load_bucket(begun, 1, bucket, twice(segments), "b")
    with begun.transaction() as connection:
        loads = "SELECT model_version, bucket, tracks, segments, started_at < ended_at FROM loads"
        found = connection.execute(loads).fetchall()
    assert found == [(1, bucket, len(set(segments.track_ids)), len(segments), True)]
    for change in ("UPDATE load_runs SET tracks = 0", "DELETE FROM load_runs"):
        with pytest.raises(DatabaseError, match="rows are only added"), begun.transaction() as c:
            c.execute(change.encode())


def twice(segments: Segments) -> Segments:
    return Segments(
        [*segments.track_ids, *segments.track_ids],
        np.tile(segments.start_ms, 2),
        np.tile(segments.end_ms, 2),
        np.tile(segments.embeddings, (2, 1)),
    )


def row_places(database: Database) -> dict[str, set[str]]:
    """Tell where each track's rows lie in the table: a row that is written again lies elsewhere."""
    statement = "SELECT track_id, array_agg(ctid::text) FROM embeddings GROUP BY 1"
    with database.transaction() as connection:
        rows = connection.execute(statement).fetchall()
    return {track: set(places) for track, places in rows}


def test_load_touches_the_rows_of_changed_tracks_only(
    begun: Database, catalogue: "Catalogue", first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    _, changed, *kept = sorted(set(segments.track_ids))
    assert kept
    load_bucket(begun, 1, bucket, segments, "a")
    before = row_places(begun)
    again = catalogue.segments([changed])
    unchanged = dict.fromkeys(kept, "a")
    load = BucketLoad(bucket, again, {changed: "b"}, kept=unchanged)
    assert list(load_buckets(begun, 1, [load])) == [len(again)]
    assert loaded_fingerprints(begun, 1) == {bucket: {**unchanged, changed: "b"}}
    after = row_places(begun)
    assert set(after) == {changed, *kept}
    assert {track: after[track] for track in kept} == {track: before[track] for track in kept}
    assert not after[changed] & before[changed]
    assert len(after[changed]) == len(again)


def test_load_refuses_to_keep_what_was_replaced_meanwhile(
    begun: Database, catalogue: "Catalogue", first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    one, *kept = sorted(set(segments.track_ids))
    load_bucket(begun, 1, bucket, segments, "a")
    load = BucketLoad(bucket, catalogue.segments([one]), {one: "b"}, dict.fromkeys(kept, "a"))
    load_bucket(begun, 1, bucket, segments, "by another run")
    before = contents(begun)
    with pytest.raises(DatabaseError, match=r"something else meanwhile \(.*run this one again"):
        list(load_buckets(begun, 1, [load]))
    assert contents(begun) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 2.0])
def test_load_refuses_what_is_no_unit_vector(
    begun: Database, first: tuple[int, Segments], bad: float
) -> None:
    bucket, segments = first
    load_bucket(begun, 1, bucket, segments, "good")
    before = contents(begun)
    embeddings = segments.embeddings.copy()
    embeddings[-1] *= bad
    with pytest.raises(DatabaseError, match=r"norm_1|NaN|infinite"):
        load_bucket(begun, 1, bucket, replace(segments, embeddings=embeddings), "bad")
    assert contents(begun) == before
    assert set(loaded_fingerprints(begun, 1)[bucket].values()) == {"good"}


def test_load_refuses_a_segment_that_comes_twice(
    begun: Database, first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    twice = replace(segments, start_ms=np.zeros_like(segments.start_ms))
    with pytest.raises(DatabaseError, match="duplicate key"):
        load_bucket(begun, 1, bucket, twice, "twice")


def test_load_refuses_unknown_tracks_and_wrong_buckets(
    begun: Database, first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    with pytest.raises(DatabaseError, match=r"not in bucket .*metadata first"):
        load_bucket(begun, 1, (bucket + 1) % 100, segments, "x")
    stranger = replace(segments, track_ids=["stranger"] * len(segments))
    with pytest.raises(DatabaseError, match="track stranger is not in bucket"):
        load_bucket(begun, 1, bucket, stranger, "x")


def test_load_refuses_a_version_that_has_not_begun(
    begun: Database, first: tuple[int, Segments]
) -> None:
    with pytest.raises(DatabaseError, match=r"takes no rows: it is unknown \(Begin"):
        load_bucket(begun, 2, *first, "x")


def test_load_killed_before_its_end_leaves_what_was_there(
    begun: Database, first: tuple[int, Segments]
) -> None:
    bucket, segments = first
    load_bucket(begun, 1, bucket, segments, "whole")
    before = contents(begun)
    command = [sys.executable, "-c", KILLED, begun.url, str(bucket), str(segments.track_ids[0])]
    assert subprocess.run(command, check=False).returncode == -9
    assert contents(begun) == before
    assert set(loaded_fingerprints(begun, 1)[bucket].values()) == {"whole"}
    assert load_bucket(begun, 1, bucket, segments, "again") == len(segments)


def test_server_killed_among_loads_keeps_whole_buckets_with_their_records(
    tmp_path: Path, catalogue: "Catalogue"
) -> None:
    loads = []
    for bucket, frame in catalogue.frame.groupby("bucket"):
        ids = list(frame["track_id"])
        segments = catalogue.segments(ids)
        loads.append(BucketLoad(int(str(bucket)), segments, dict.fromkeys(ids, "same")))
    with open_database(None, tmp_path) as killed:
        killed.migrate()
        upsert_tracks(killed, catalogue.frame)
        index.begin_version(killed, 1, "music-encoder", "run-1")
        loading = load_buckets(killed, 1, loads)
        for _ in loads[:-1]:
            next(loading)
        pid_file = tmp_path / "postgres" / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
        with suppress(DatabaseError):  # a backend may outlive its server by one more answer
            list(loading)
        with open_database(None, tmp_path) as recovered:
            recorded = {
                track for known in loaded_fingerprints(recovered, 1).values() for track in known
            }
            kept = [row[0] for row in contents(recovered)]
            assert sorted(kept) == sorted(t for t in recorded for _ in catalogue.embeddings[t])
            assert list(load_buckets(recovered, 1, loads)) == [len(load.segments) for load in loads]
            assert len(contents(recovered)) == sum(len(load.segments) for load in loads)


def test_embeddings_of_no_version_have_nowhere_to_go(database: Database) -> None:
    with database.connect() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(
            "INSERT INTO embeddings SELECT 7, 'x', 0, 0, 1, array_agg(0)::vector(128)"
            " FROM generate_series(1, 128)"
        )
