"""What `docs/operations.md` says about backups: dump, drop, restore, and search works."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from search.server import psql_path
from search.similarity import similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import Home


def run(program: str, *arguments: str) -> None:
    command = [str(psql_path().with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def recreate(url: str, name: str) -> None:
    """Drop a database, and make an empty one of its name."""
    elsewhere = make_conninfo(url, dbname="template1")
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        connection.execute(drop)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def test_dumped_database_is_restored_and_answers_as_before(
    finished: "Home", tmp_path: Path
) -> None:
    home = finished.copy(tmp_path / "data")
    dump = str(tmp_path / "soundalike.dump")
    with home.database() as database:
        expected = similar_tracks(database, "tone_000", 5)
        name = str(conninfo_to_dict(database.url)["dbname"])
        run("pg_dump", "--format=custom", "--file", dump, database.url)
        for migrated in (False, True):  # as another server has it, and as `db up` leaves it
            recreate(database.url, name)
            if migrated:
                database.migrate()
            restore = ("--clean", "--if-exists", "--exit-on-error", "--dbname", database.url, dump)
            run("pg_restore", *restore)
            database.migrate()
            assert similar_tracks(database, "tone_000", 5) == expected
        answered = home.run("soundalike", "models", "check")
    assert answered.returncode == 0, answered.stdout
    assert "The index is good" in answered.stdout
