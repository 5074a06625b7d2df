"""Model versions from their begin to their retirement, and recall."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ml.errors import DatabaseError
from search import index
from search.database import Database
from search.load import load_bucket
from search.map import refresh_map
from search.similarity import similar_segments, similar_tracks
from search.switching import retire_version
from search.tracks import upsert_tracks
from search.tuning import set_parameter
from search.verification import check_recall, mark_verified, measure_recall, verified_recall
from tests.integration.search.conftest import Catalogue

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase


def test_recall_is_measured_on_the_index(database: Database, catalogue: Catalogue) -> None:
    upsert_tracks(database, catalogue.frame)
    rows = catalogue.load(database, 1)
    report = measure_recall(database, 1, sample=100, seed=3)
    assert (report.queries, report.rows, report.k) == (100, rows, 10)
    assert report.passed
    assert report.recall == pytest.approx(1.0, abs=0.01)
    deadline = time.monotonic() + 30  # the server counts when the measuring session ends
    while count_scans(database) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def count_scans(database: Database) -> int:
    with database.transaction() as connection:
        statement = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s"
        row = connection.execute(statement, ("embeddings_v1_hnsw",)).fetchall()[0]
    return int(row[0])


def test_recall_of_a_version_that_is_not_loaded_is_refused(database: Database) -> None:
    index.begin_version(database, 1, "music-encoder", "run-1")
    with pytest.raises(DatabaseError, match="not loaded"):
        measure_recall(database, 1)
    index.build_index(database, 1)
    with pytest.raises(DatabaseError, match="holds 0 segments"):
        measure_recall(database, 1)


def test_build_index_builds_once(database: Database, catalogue: Catalogue) -> None:
    with pytest.raises(DatabaseError, match="no embeddings"):
        index.build_index(database, 1)
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    assert not index.build_index(database, 1)


def test_rows_are_shuffled_before_the_first_index(database: Database, catalogue: Catalogue) -> None:
    catalogue.serve(database, 1)
    statement = """
        SELECT count(*) FILTER (WHERE track_id = before) AS siblings, count(*) AS rows
        FROM (SELECT track_id, lag(track_id) OVER (ORDER BY ctid) AS before
              FROM embeddings_v1) AS lying"""
    with database.transaction() as connection:
        siblings, rows = connection.execute(statement).fetchall()[0]
        indexes = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'embeddings_v1' ORDER BY 1"
        ).fetchall()
    assert rows == sum(map(len, catalogue.embeddings.values()))
    assert siblings < rows / 10  # in the order of loading, all but one of each track
    assert [name for (name,) in indexes] == ["embeddings_v1_hnsw", "embeddings_v1_pkey"]


@pytest.mark.parametrize("links", [24, 48])
def test_graph_is_built_in_memory(
    copy_database: "CopyDatabase", large_database: Database, links: int
) -> None:
    large = str(conninfo_to_dict(large_database.url)["dbname"])
    with copy_database(large) as database, database.connect() as connection:
        connection.execute("DROP INDEX embeddings_v1_hnsw")
        connection.execute("SET maintenance_work_mem = '1MB'")  # what it has without asking
        for name, value in {"m": links, "ef_construction": 96}.items():  # quicker than with 256
            setting = (f"soundalike.hnsw_{name}", str(value))
            connection.execute("SELECT set_config(%s, %s, false)", setting)
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute("SELECT index_model(1)")
        assert notices == [], "the server says so when the graph no longer fits"


def test_index_is_built_as_the_settings_say(database: Database, catalogue: Catalogue) -> None:
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    assert index_options(database) == ["m=24", "ef_construction=256"]
    set_parameter(database, "hnsw_m", 8)
    set_parameter(database, "hnsw_ef_construction", 64)
    index.rebuild_index(database, 1)
    assert index_options(database) == ["m=8", "ef_construction=64"]


def index_options(database: Database) -> list[str]:
    with database.transaction() as connection:
        statement = "SELECT reloptions FROM pg_class WHERE relname = 'embeddings_v1_hnsw'"
        return list(connection.execute(statement).fetchall()[0][0])


def test_activation_refuses_what_is_not_verified(database: Database, catalogue: Catalogue) -> None:
    with pytest.raises(DatabaseError, match="it is unknown, not verified"):
        index.activate(database, 1)
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    with pytest.raises(DatabaseError, match="it is loaded, not verified"):
        index.activate(database, 1)
    report = measure_recall(database, 1)
    mark_verified(database, 1, report)
    bucket = int(catalogue.frame["bucket"][0])
    ids = list(catalogue.frame[catalogue.frame["bucket"] == bucket]["track_id"])
    load_bucket(database, 1, bucket, catalogue.segments(ids), "again")
    with pytest.raises(DatabaseError, match="it is loading, not verified"):
        index.activate(database, 1)
    with pytest.raises(DatabaseError, match="changed since"):
        mark_verified(database, 1, report)
    assert index.active_version(database) is None


def test_gate_stands_in_the_database(database: Database, catalogue: Catalogue) -> None:
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    report = measure_recall(database, 1)
    with pytest.raises(DatabaseError, match="measured by 20 queries"):
        mark_verified(database, 1, measure_recall(database, 1, sample=20))
    statement = (
        "SELECT mark_verified(1, %(recall)s, %(missed)s, %(queries)s, 100, 1, 2, loaded_at)"
        " FROM models"
    )
    for bad in ({"recall": 0.97}, {"missed": 1}, {"missed": None}, {"queries": 20}):
        with (
            database.connect() as connection,
            pytest.raises(psycopg.errors.CheckViolation),
        ):
            connection.execute(statement, vars(report) | bad)
    mark_verified(database, 1, report)
    assert verified_recall(database, 1) == report


def test_activation_refuses_missing_tracks_and_a_missing_index(
    database: Database, catalogue: Catalogue
) -> None:
    upsert_tracks(database, catalogue.frame)
    catalogue.load(database, 1)
    mark_verified(database, 1, measure_recall(database, 1))
    with database.transaction() as connection:
        connection.execute("DROP INDEX embeddings_v1_hnsw")
    with pytest.raises(DatabaseError, match="it has no index"):
        index.activate(database, 1)
    with database.transaction() as connection:
        connection.execute(
            "UPDATE bucket_loads SET fingerprints = fingerprints - %s",
            (catalogue.frame["track_id"][0],),
        )
    lacking = f"1 served tracks are not loaded, of buckets {bucket_of(catalogue)}"
    with pytest.raises(DatabaseError, match=lacking):
        index.activate(database, 1)


def bucket_of(catalogue: Catalogue) -> int:
    return int(catalogue.frame["bucket"][0])


def test_versions_are_begun_loaded_activated_and_retired(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
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


def test_version_that_is_loaded_in_part_does_not_answer(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    track = str(catalogue.frame["track_id"][0])
    other_catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    index.retire(database, 1)
    for version in (1, 3):  # revived and new
        index.begin_version(database, version, "music-encoder", f"run-{version}")
        ids = list(catalogue.frame[catalogue.frame["bucket"] == bucket_of(catalogue)]["track_id"])
        load_bucket(database, version, bucket_of(catalogue), catalogue.segments(ids), "half")
        with pytest.raises(DatabaseError, match=f"version {version} is not loaded"):
            similar_tracks(database, track, 5, model_version=version)
        model = {m.model_version: m for m in index.list_models(database)}[version]
        assert (model.recall, model.missed) == (None, None)
    catalogue.load(database, 1)
    found = [n.track_id for n in similar_tracks(database, track, 5, model_version=1)]
    assert found == [i for i, _, _ in catalogue.neighbours(track, 5)]


def test_version_of_another_run_is_refused(database: Database) -> None:
    index.begin_version(database, 1, "music-encoder", "run-1")
    index.begin_version(database, 1, "music-encoder", "run-1")
    with pytest.raises(DatabaseError, match="different histories"):
        index.begin_version(database, 1, "music-encoder", "run-of-another-registry")


def test_swap_mixes_no_versions_under_load(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    track_id = str(catalogue.frame["track_id"][0])
    expected = {
        v: [n.track_id for n in similar_segments(database, track_id, 5_000, 5, model_version=v)]
        for v in (1, 2)
    }
    assert expected[1] != expected[2]
    done = threading.Event()
    tallies = [0] * 4

    def ask(client: int) -> list[tuple[set[int], list[str]]]:
        answers = []
        statement = "SELECT model_version, track_id FROM similar_segments(%s, 5000, 5)"
        with database.connect() as connection:
            connection.autocommit = True
            while not done.is_set():
                rows = connection.execute(statement, (track_id,)).fetchall()
                answers.append(({version for version, _ in rows}, [i for _, i in rows]))
                tallies[client] += 1
        return answers

    def await_an_answer_of_each() -> None:
        before = list(tallies)
        while any(new == old for new, old in zip(tallies, before, strict=True)):
            assert not any(client.done() for client in asked)  # one that failed
            time.sleep(0.001)

    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ask, client) for client in range(4)]
        try:
            for turn in range(20):
                await_an_answer_of_each()
                index.activate(database, 1 + turn % 2)
        finally:
            done.set()
    answers = [answer for client in asked for answer in client.result()]  # raises what one raised
    assert {version for versions, _ in answers for version in versions} == {1, 2}
    for versions, found in answers:
        assert len(versions) == 1
        assert found == expected[versions.pop()]


def test_rollback_leads_back_and_forth(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    with pytest.raises(DatabaseError, match=r"no version to go back to \("):
        index.rollback(database)
    catalogue.serve(database, 1)
    with pytest.raises(DatabaseError, match="no version to go back to"):
        index.rollback(database)
    other_catalogue.serve(database, 2)
    assert [index.rollback(database) for _ in range(3)] == [1, 2, 1]
    index.retire(database, 2)
    with pytest.raises(DatabaseError, match="no version to go back to"):
        index.rollback(database)


def test_version_that_missed_a_track_is_refused_but_gone_back_to(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    *most, _ = catalogue.frame["track_id"]
    early = Catalogue(catalogue.frame[:-1], {i: catalogue.embeddings[i] for i in most})
    early.serve(database, 1)
    other_catalogue.serve(database, 2)
    with pytest.raises(DatabaseError, match="1 served tracks are not loaded"):
        index.activate(database, 1)
    assert index.rollback(database) == 1


def test_activation_and_rollback_at_once_wait_for_each_other(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    with ThreadPoolExecutor(2) as clients:
        with database.transaction() as holder:
            holder.execute("UPDATE models SET deleted = deleted WHERE model_version = 1")
            activation = clients.submit(index.activate, database, 1)
            await_locks(database, 1)
            rollback = clients.submit(index.rollback, database)
            await_locks(database, 2)
        activation.result(60)
        assert rollback.result(60) == 2


def await_locks(database: Database, number: int, mode: str = "%") -> None:
    """Wait until so many requests for locks of this database are not granted."""
    statement = (
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE a.datname = current_database() AND NOT l.granted AND l.mode LIKE %s"
    )
    deadline = time.monotonic() + 60
    with database.connect() as connection:
        connection.autocommit = True
        while connection.execute(statement, (mode,)).fetchall()[0][0] < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_retiring_keeps_the_last_two(database: Database, catalogue: Catalogue) -> None:
    for version in (1, 2, 3, 4):
        catalogue.serve(database, version)
    index.begin_version(database, 5, "music-encoder", "run-5")  # on its way
    assert index.kept_versions(database) == [4, 3]
    with pytest.raises(DatabaseError, match=r"one of the last 2, .* 3 --keep 1`"):
        retire_version(database, 3)
    with pytest.raises(DatabaseError, match="version 4 is active"):
        retire_version(database, 4)
    index.activate(database, 2)  # further back: now 2 and 4 are the last two
    assert index.kept_versions(database) == [2, 4]
    retire_version(database, 3)
    index.activate(database, 4)
    assert index.retire_old(database) == [1]
    assert index.retire_old(database) == []
    assert index.retire_old(database, keep=1) == [2]
    states = {model.model_version: model.state for model in index.list_models(database)}
    assert states == {1: "retired", 2: "retired", 3: "retired", 4: "verified", 5: "loading"}


def test_recall_after_a_tenth_is_deleted_says_when_to_reindex(
    worn: Database, large_catalogue: Catalogue
) -> None:
    assert not check_recall(worn, sample=200).needs_reindex
    doomed = [str(track) for track in large_catalogue.frame["track_id"][::9]]
    with worn.transaction() as connection:
        deleted = sum(
            row[1]
            for track in doomed
            for row in connection.execute("SELECT * FROM delete_track_embeddings(%s)", (track,))
        )
    report = check_recall(worn, sample=200)
    assert report.deleted == deleted >= 0.1 * (report.rows + deleted)
    assert report.recall >= 0.95
    assert report.needs_reindex
    assert "models reindex 1" in report.verdict
    before = filenode(worn)
    index.rebuild_index(worn, 1)
    after = check_recall(worn, sample=200)
    assert filenode(worn) != before
    assert (after.deleted, after.needs_reindex, after.rows) == (0, False, report.rows)
    assert after.passed
    assert index.active_version(worn) == 1


@pytest.mark.parametrize("step", [index.rebuild_index, index.retire])
def test_slow_reader_does_not_hold_up_the_searches_of_others(
    database: Database,
    catalogue: Catalogue,
    other_catalogue: Catalogue,
    step: Callable[[Database, int], None],
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    track = str(catalogue.frame["track_id"][0])
    with ThreadPoolExecutor(1) as worker, database.connect() as other:
        other.execute("SET statement_timeout = '60s'")
        with database.transaction() as reader:
            reader.execute("SELECT count(*) FROM embeddings_v1")
            stepping = worker.submit(step, database, 1)
            await_locks(database, 1, "AccessExclusiveLock")
            found = other.execute("SELECT * FROM similar_tracks(%s, 5, 1)", (track,)).fetchall()
            other.commit()
            assert len(found) == 5
            assert not stepping.done()
        stepping.result(60)


def test_deleted_track_is_not_counted_and_leaves_the_map(
    database: Database, catalogue: Catalogue
) -> None:
    catalogue.serve(database, 1)
    refresh_map(database, 1)
    count = "SELECT m.tracks, (SELECT count(*) FROM map_points) FROM models m"
    with database.transaction() as connection:
        assert connection.execute(count).fetchall() == [(40, 40)]
        track = (catalogue.frame["track_id"][0],)
        connection.execute("SELECT delete_track_embeddings(%s)", track)
        assert connection.execute(count).fetchall() == [(39, 39)]


def test_track_added_later_is_found_without_a_rebuild(
    database: Database, catalogue: Catalogue
) -> None:
    *most, late = catalogue.frame["track_id"]
    early = Catalogue(catalogue.frame[:-1], {i: catalogue.embeddings[i] for i in most})
    early.serve(database, 1)
    before = filenode(database)
    upsert_tracks(database, catalogue.frame)
    (bucket,) = catalogue.frame["bucket"][-1:]
    ids = list(catalogue.frame[catalogue.frame["bucket"] == bucket]["track_id"])
    load_bucket(database, 1, int(bucket), catalogue.segments(ids), "with the late one")
    for track in most[:5]:
        found = [n.track_id for n in similar_tracks(database, track, 39)]
        assert found == [i for i, _, _ in catalogue.neighbours(track, 39)]
        assert late in found, "at once, before anything else is done"
    assert not index.build_index(database, 1)
    assert filenode(database) == before
    report = measure_recall(database, 1)
    assert report.passed
    mark_verified(database, 1, report)
    index.activate(database, 1)


def filenode(database: Database) -> int:
    """Tell which file holds the index: a rebuild makes a new one."""
    with database.transaction() as connection:
        row = connection.execute("SELECT pg_relation_filenode('embeddings_v1_hnsw')").fetchall()[0]
    return int(row[0])
