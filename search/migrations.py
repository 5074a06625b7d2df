"""The runner of ``sql/migrations/``: numbered files, each applied once, in one transaction.

All of it happens under one advisory lock, because even ``CREATE EXTENSION IF NOT EXISTS`` fails
when several processes try it at once. What was applied is recorded with its checksum.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ml.errors import DatabaseError
from search.queries import SQL_FOLDER, query

logger = logging.getLogger(__name__)

PGVECTOR_MINIMUM = (0, 8, 4)  # older ones lose index entries on vacuum


@dataclass(frozen=True)
class Migration:
    """One numbered file.

    Parameters
    ----------
    number : int
        Its place in the order, from 1.
    name : str
        The file's name without extension.
    text : str
        The statements.
    """

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Checksum of the text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations(folder: Path = SQL_FOLDER / "migrations") -> list[Migration]:
    """Read the migrations in order.

    Parameters
    ----------
    folder : Path
        Holds ``0001_name.sql``, ``0002_name.sql`` and so on.

    Returns
    -------
    list of Migration
        By number, without gaps.

    Raises
    ------
    DatabaseError
        If numbers are missing or taken twice.
    """
    paths = sorted(folder.glob("*.sql"))
    found = [Migration(int(p.name[:4]), p.stem, p.read_text(encoding="utf-8")) for p in paths]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise DatabaseError(f"Number the files in {folder} 0001, 0002, ... without gap or double.")
    return found


def apply(
    connection: psycopg.Connection[TupleRow], migrations: list[Migration] | None = None
) -> list[str]:
    """Apply what is not applied yet.

    Parameters
    ----------
    connection : psycopg.Connection
        In autocommit mode; of a role that may create tables.
    migrations : list of Migration, optional
        All of them, in order; the project's by default.

    Returns
    -------
    list of str
        Names of those applied now.

    Raises
    ------
    DatabaseError
        If an applied file was edited since, the database is newer than this program, or pgvector
        is missing or too old.
    """
    wanted = read_migrations() if migrations is None else migrations
    connection.execute(query("lock_migrations"))
    try:
        connection.execute(query("create_schema_migrations"))
        _require_pgvector(connection)
        pending = _pending(connection, wanted)
        for migration in pending:
            _apply_one(connection, migration)
    finally:
        connection.execute(query("unlock_migrations"))
    return [migration.name for migration in pending]


def _pending(connection: psycopg.Connection[TupleRow], wanted: list[Migration]) -> list[Migration]:
    applied = connection.execute(query("applied_migrations")).fetchall()
    if len(applied) > len(wanted):
        raise DatabaseError(
            f"The database is at migration {len(applied)} and this program knows {len(wanted)}: "
            "update the program."
        )
    for (number, name, sha256), migration in zip(applied, wanted, strict=False):
        if (number, sha256) != (migration.number, migration.sha256):
            raise DatabaseError(
                f"Migration {name} was edited after this database applied it: restore the file, "
                "and put the change into a new migration."
            )
    return wanted[len(applied) :]


def _apply_one(connection: psycopg.Connection[TupleRow], migration: Migration) -> None:
    with connection.transaction():
        connection.execute(sql.SQL(migration.text))
        row = (migration.number, migration.name, migration.sha256)
        connection.execute(query("record_migration"), row)
    logger.info("Applied migration %s", migration.name)


def _require_pgvector(connection: psycopg.Connection[TupleRow]) -> None:
    row = connection.execute(query("pgvector_version")).fetchone()
    minimum = ".".join(map(str, PGVECTOR_MINIMUM))
    if row is None:
        raise DatabaseError(f"Install pgvector {minimum} or later on the database server.")
    installed, available = row
    if _parsed(installed or available) < PGVECTOR_MINIMUM:
        advice = (
            "run ALTER EXTENSION vector UPDATE as its owner"
            if _parsed(available) >= PGVECTOR_MINIMUM
            else "update pgvector on the database server"
        )
        raise DatabaseError(
            f"The database has pgvector {installed or available} and {minimum} is needed: {advice}."
        )


def _parsed(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
