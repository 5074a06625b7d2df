"""Model versions from their begin to their retirement, and recall."""

import threading
from typing import TYPE_CHECKING

import pytest

from ml.errors import DatabaseError
from search import index
from search.database import Database
from search.load import load_bucket
from search.tracks import upsert_tracks
from search.verification import mark_verified, measure_recall

if TYPE_CHECKING:
    from tests.integration.search.conftest import Catalogue


def test_recall_is_measured_on_the_index(database: Database, catalogue: "Catalogue") -> None:
    upsert_tracks(database, catalogue.frame)
    rows = catalogue.load(database, 1)
    report = measure_recall(database, 1, sample=100, seed=3)
    assert (report.queries, report.rows, report.k) == (100, rows, 10)
    assert report.passed
    assert report.recall == pytest.approx(1.0, abs=0.01)
    with database.transaction() as connection:
        statement = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s"
        connection.execute("SELECT pg_stat_force_next_flush()")
        scans = connection.execute(statement, ("embeddings_v1_hnsw",)).fetchall()[0][0]
    assert scans >= 100


def test_recall_of_a_version_that_is_not_loaded_is_refused(database: Database) -> None:
    index.begin_version(database, 1, "music-encoder", "run-1")
    with pytest.raises(DatabaseError, match="not loaded"):
        measure_recall(database, 1)
    index.build_index(database, 1)
    with pytest.raises(DatabaseError, match="holds 0 segments"):
        measure_recall(database, 1)


def test_build_index_builds_once(database: Database, catalogue: "Catalogue") -> None:
    with pytest.raises(DatabaseError, match="no embeddings"):
        index.build_index(database, 1)
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    assert not index.build_index(database, 1)


def test_activation_refuses_what_is_not_verified(
    database: Database, catalogue: "Catalogue"
) -> None:
    with pytest.raises(DatabaseError, match="it is unknown, not verified"):
        index.activate(database, 1)
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    with pytest.raises(DatabaseError, match="it is loaded, not verified"):
        index.activate(database, 1)
    report = measure_recall(database, 1, sample=20)
    mark_verified(database, 1, report)
    bucket = int(catalogue.frame["bucket"][0])
    ids = list(catalogue.frame[catalogue.frame["bucket"] == bucket]["track_id"])
    load_bucket(database, 1, bucket, catalogue.segments(ids), "again")
    with pytest.raises(DatabaseError, match="it is loading, not verified"):
        index.activate(database, 1)
    with pytest.raises(DatabaseError, match="changed since"):
        mark_verified(database, 1, report)
    assert index.active_version(database) is None


def test_activation_refuses_missing_buckets_and_a_missing_index(
    database: Database, catalogue: "Catalogue"
) -> None:
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    mark_verified(database, 1, measure_recall(database, 1, sample=20))
    with database.transaction() as connection:
        connection.execute("DROP INDEX embeddings_v1_hnsw")
    with pytest.raises(DatabaseError, match="it has no index"):
        index.activate(database, 1)
    with database.transaction() as connection:
        connection.execute("DELETE FROM bucket_loads WHERE bucket = %s", (bucket_of(catalogue),))
    with pytest.raises(DatabaseError, match=f"buckets {bucket_of(catalogue)} are not loaded"):
        index.activate(database, 1)


def bucket_of(catalogue: "Catalogue") -> int:
    return int(catalogue.frame["bucket"][0])


def test_versions_are_begun_loaded_activated_and_retired(
    database: Database, catalogue: "Catalogue", other_catalogue: "Catalogue"
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    index.activate(database, 2)  # again: nothing happens
    assert index.active_version(database) == 2
    with pytest.raises(DatabaseError, match="version 2 is active"):
        index.retire(database, 2)
    index.activate(database, 1)
    index.retire(database, 2)
    index.retire(database, 2)
    one, two = index.list_models(database)
    assert (one.state, one.active, two.state, two.active) == ("verified", True, "retired", False)
    with pytest.raises(DatabaseError, match="it is retired, not verified"):
        index.activate(database, 2)
    with pytest.raises(DatabaseError, match="no version 3"):
        index.retire(database, 3)
    other_catalogue.serve(database, 2)  # it may come back
    assert index.active_version(database) == 2


def test_version_of_another_run_is_refused(database: Database) -> None:
    index.begin_version(database, 1, "music-encoder", "run-1")
    index.begin_version(database, 1, "music-encoder", "run-1")
    with pytest.raises(DatabaseError, match="different histories"):
        index.begin_version(database, 1, "music-encoder", "run-of-another-registry")


def test_swap_mixes_no_versions_under_load(
    database: Database, catalogue: "Catalogue", other_catalogue: "Catalogue"
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    track_id = catalogue.frame["track_id"][0]
    expected = {
        1: [i for i, _, _ in catalogue.neighbours(track_id, 5)],
        2: [i for i, _, _ in other_catalogue.neighbours(track_id, 5)],
    }
    assert expected[1] != expected[2]
    answers: list[tuple[set[int], list[str]]] = []
    done = threading.Event()

    def ask() -> None:
        with database.connect() as connection:
            connection.autocommit = True
            statement = "SELECT model_version, track_id FROM similar_tracks(%s, 5)"
            while not done.is_set():
                rows = connection.execute(statement, (track_id,)).fetchall()
                answers.append(({version for version, _ in rows}, [i for _, i in rows]))

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    for turn in range(20):
        index.activate(database, 1 + turn % 2)
    done.set()
    for client in clients:
        client.join()
    assert {version for versions, _ in answers for version in versions} == {1, 2}
    for versions, found in answers:
        assert len(versions) == 1
        assert found == expected[versions.pop()]
