"""What a database is and holds, without changing anything: for people, and for monitors."""

from dataclasses import dataclass

from psycopg.rows import dict_row

from search.database import Database, translated_errors
from search.index import ModelVersion, list_models
from search.migrations import pending_migrations
from search.queries import query


@dataclass(frozen=True)
class Status:
    """A database that answers.

    Parameters
    ----------
    name : str
        Database and host.
    postgres, pgvector : str or None
        Versions; pgvector may not be installed yet.
    size : str
        On disk, for people.
    has_roles : bool
        Whether the roles of `search.access` are there.
    pending : list of str
        Migrations that are not applied yet.
    models : list of ModelVersion
        None of them before the first migration.
    """

    name: str
    postgres: str
    pgvector: str | None
    size: str
    has_roles: bool
    pending: list[str]
    models: list[ModelVersion]


def read_status(database: Database) -> Status:
    """Ask a database what it is and holds.

    Raises
    ------
    DatabaseError
        If it does not answer, or was migrated by another program than this one.
    """
    with translated_errors(), database.connect_raw() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        found = cursor.execute(query("server_status")).fetchall()[0]
        pending = [migration.name for migration in pending_migrations(connection)]
    models = [] if pending else list_models(database)
    return Status(name=database.name, pending=pending, models=models, **found)
