"""Migrations on real databases."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from ml.errors import DatabaseError
from search import migrations
from search.binaries import binaries
from search.database import Database
from search.migrations import Migration, read_migrations
from search.queries import query

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase

MIGRATE = """
import sys
from search.database import Database
sys.stdout.write(str(len(Database(sys.argv[1]).migrate())))
"""


def test_migrate_applies_all_and_then_nothing(empty_database: Database) -> None:
    assert empty_database.migrate() == [m.name for m in read_migrations()]
    assert empty_database.migrate() == []


def test_migrate_by_six_processes_at_once_applies_each_once(empty_database: Database) -> None:
    command = [sys.executable, "-c", MIGRATE, empty_database.url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    try:
        applied = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()  # nothing, where it has ended
    assert [process.returncode for process in processes] == [0] * 6
    assert sorted(map(int, applied)) == [0] * 5 + [len(read_migrations())]


def test_migration_edited_after_it_was_applied_is_refused(database: Database) -> None:
    first, *rest = read_migrations()
    edited = [replace(first, text=first.text + "-- edited\n"), *rest]
    with (
        psycopg.connect(database.url, autocommit=True) as connection,
        pytest.raises(DatabaseError, match="0001_schema was edited"),
    ):
        migrations.apply(connection, edited)


def test_migration_unknown_to_this_program_is_refused(database: Database) -> None:
    with (
        psycopg.connect(database.url, autocommit=True) as connection,
        pytest.raises(DatabaseError, match="update the program"),
    ):
        migrations.apply(connection, read_migrations()[:1])


def test_migration_that_fails_leaves_nothing_behind(database: Database) -> None:
    number = len(read_migrations()) + 1
    broken = Migration(number, "broken", "CREATE TABLE half (x int); SELECT 1 / 0;")
    with psycopg.connect(database.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            migrations.apply(connection, [*read_migrations(), broken])
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)
    assert database.migrate() == []


def test_migration_killed_before_it_gave_the_rights_again_is_not_applied(
    database: Database,
) -> None:
    known = read_migrations()
    later = Migration(len(known) + 1, "later", "SELECT 1")
    with psycopg.connect(database.url) as holder, ThreadPoolExecutor(1) as runner:
        holder.execute("ALTER FUNCTION kept_models COST 200")  # the rights of which are waited for
        with psycopg.connect(database.url, autocommit=True) as connection:
            pid = connection.info.backend_pid
            run = runner.submit(migrations.apply, connection, [*known, later])
            waiting = "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s"
            with psycopg.connect(database.url, autocommit=True) as watcher:
                deadline = time.monotonic() + 60
                while watcher.execute(waiting, (pid,)).fetchall() != [("Lock",)]:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                watcher.execute("SELECT pg_terminate_backend(%s, 30000)", (pid,))
            with pytest.raises(psycopg.OperationalError):
                run.result(60)
        holder.rollback()
    with database.transaction() as connection:
        applied = connection.execute("SELECT count(*) FROM schema_migrations").fetchone()
    assert applied == (len(known),)


def test_rights_that_are_lacking_are_given_again(database: Database) -> None:
    with database.transaction() as connection:
        assert connection.execute(query("lacks_access")).fetchall() == [(False,)]
        connection.execute("ALTER FUNCTION resolve_version SECURITY INVOKER RESET search_path")
    assert database.migrate() == []
    with database.transaction() as connection:
        statement = "SELECT prosecdef FROM pg_proc WHERE proname = 'resolve_version'"
        assert connection.execute(statement).fetchall() == [(True,)]


def dump_schema(database: Database) -> str:
    """Write the schema as statements, privileges and owners included."""
    command = [str(binaries() / "pg_dump"), "--schema-only", "--restrict-key=x", database.url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_schema_is_the_same_from_whichever_version_it_was_migrated(
    database: Database, copy_database: "CopyDatabase"
) -> None:
    """One step at a time, so that each earlier version is one that is migrated from."""
    known = read_migrations()
    fresh = dump_schema(database)
    assert "CREATE FUNCTION public.similar_tracks" in fresh
    assert "soundalike_analyst" in fresh
    with copy_database("template1") as stepwise:
        for count in range(1, len(known) + 1):
            with psycopg.connect(stepwise.url, autocommit=True) as connection:
                assert migrations.apply(connection, known[:count]) == [known[count - 1].name]
        assert dump_schema(stepwise) == fresh
    for count in (1, 3, 5):
        with copy_database("template1") as older:
            with psycopg.connect(older.url, autocommit=True) as connection:
                migrations.apply(connection, known[:count])
            assert len(older.migrate()) == len(known) - count
            assert dump_schema(older) == fresh


def test_connect_before_migrating_says_so(empty_database: Database) -> None:
    with pytest.raises(DatabaseError, match="apply the migrations"):
        empty_database.connect()


def test_everything_that_analysts_see_is_commented(database: Database) -> None:
    with database.transaction() as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'v', 'p') AND obj_description(oid, 'pg_class') IS NULL"
        ).fetchall()
        functions = connection.execute(
            "SELECT p.proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
            " AND obj_description(p.oid, 'pg_proc') IS NULL AND NOT EXISTS (SELECT FROM pg_depend d"
            " WHERE d.objid = p.oid AND d.deptype = 'e')"
        ).fetchall()
        columns = connection.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT attisdropped"
            " AND (c.relkind = 'v' OR c.relname = 'similar_track')"
            " AND col_description(c.oid, a.attnum) IS NULL"
        ).fetchall()
    assert relations == []
    assert functions == []
    assert columns == []
