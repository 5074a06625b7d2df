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
        # Asked first: who may not create tables may still find that nothing is to be done.
        if not _ask(connection, "has_migrations"):
            connection.execute(query("create_schema_migrations"))
        _require_pgvector(connection)
        pending = _pending(connection, wanted)
        for migration in pending:
            _apply_one(connection, migration, last=migration is pending[-1])
        # A version before this may have been killed before it granted what it had replaced.
        if not pending and _ask(connection, "lacks_access"):
            grant_access(connection)
    finally:
        connection.execute(query("unlock_migrations"))
    return [migration.name for migration in pending]


def grant_access(connection: psycopg.Connection[TupleRow]) -> bool:
    """Make the four roles and give each what it may do.

    Parameters
    ----------
    connection : psycopg.Connection
        Of a role that may create roles, or else nothing happens.

    Returns
    -------
    bool
        Whether it was possible; if not, the server's warning is logged.
    """
    connection.add_notice_handler(_log_warning)
    try:
        return bool(_ask(connection, "grant_access"))
    finally:
        connection.remove_notice_handler(_log_warning)


def pending_migrations(connection: psycopg.Connection[TupleRow]) -> list[Migration]:
    """List what is not applied yet.

    Raises
    ------
    DatabaseError
        As `apply`.
    """
    wanted = read_migrations()
    return _pending(connection, wanted) if _ask(connection, "has_migrations") else wanted


def _log_warning(notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        logger.warning("%s. %s", notice.message_primary, notice.message_hint or "")


def _ask(connection: psycopg.Connection[TupleRow], name: str) -> object:
    row = connection.execute(query(name)).fetchone()
    return row[0] if row else None


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


def _apply_one(
    connection: psycopg.Connection[TupleRow], migration: Migration, *, last: bool
) -> None:
    """Apply one; what is replaced loses its rights, which the last gives again at once."""
    installed = _ask(connection, "pgvector_version")
    with connection.transaction():
        if installed:
            connection.execute(query("load_pgvector"))
        connection.execute(query("become_owner"))
        connection.execute(sql.SQL(migration.text))
        row = (migration.number, migration.name, migration.sha256)
        connection.execute(query("record_migration"), row)
        connection.execute(query("become_oneself"))
        if last and _ask(connection, "can_grant_access"):
            grant_access(connection)
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
