"""Migrations on real databases."""

import subprocess
import sys
from dataclasses import replace

import psycopg
import pytest

from ml.errors import DatabaseError
from search import migrations
from search.database import Database
from search.migrations import Migration, read_migrations

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
    applied = [process.communicate(timeout=60)[0] for process in processes]
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
    assert relations == []
    assert functions == []
