"""A real Postgres for the tests: one server a session, one database a test."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from search.database import Database
from search.server import embedded_server

MIGRATED = "migrated"
CopyDatabase = Callable[[str], AbstractContextManager[Database]]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an embedded server, in a folder whose name is awkward; its superuser's URL."""
    folder = tmp_path_factory.mktemp("server") / 'it\'s a "data" $folder' / "postgres"
    with embedded_server(folder) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(MIGRATED)))
        Database(make_conninfo(url, dbname=MIGRATED)).migrate()
        yield url


@pytest.fixture(scope="session")
def copy_database(database_url: str) -> CopyDatabase:
    """Give a context manager that copies a database under a new name and drops the copy."""
    numbers = itertools.count(1)

    @contextmanager
    def copy(template: str) -> Iterator[Database]:
        name = f"test_{next(numbers)}"
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with psycopg.connect(database_url, autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {name} TEMPLATE {template}")
            connection.execute(create.format(**names))
            yield Database(make_conninfo(database_url, dbname=name))
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))

    return copy


@pytest.fixture
def empty_database(copy_database: CopyDatabase) -> Iterator[Database]:
    """Make a database of the test's own, not migrated."""
    with copy_database("template1") as database:
        yield database


@pytest.fixture
def database(copy_database: CopyDatabase) -> Iterator[Database]:
    """Make a migrated database of the test's own."""
    with copy_database(MIGRATED) as database:
        yield database
