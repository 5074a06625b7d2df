"""Connections to Postgres: the embedded server's or the one that ``DATABASE_URL`` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo
from psycopg.rows import TupleRow

from ml.errors import DatabaseError
from search import migrations
from search.server import embedded_server, explained_space

Connection = psycopg.Connection[TupleRow]

CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class Database:
    """A database that answers.

    Parameters
    ----------
    url : str
        Where it is; it may hold a password, so it is never shown.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Database and host, for messages; no password."""
        try:
            parts = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            # The library's own message quotes the whole text, password included.
            raise DatabaseError(
                "DATABASE_URL is not an address that Postgres understands: write it as "
                "postgresql://user@host:port/database, or unset it to use the embedded server."
            ) from None
        host = parts.get("host") or parts.get("hostaddr") or "the local socket"
        port = f":{parts['port']}" if "port" in parts else ""
        return f"{parts.get('dbname') or 'postgres'} on {host}{port}"

    @property
    def variables(self) -> dict[str, str]:
        """The address as environment variables of libpq, for programs such as ``psql``."""
        options = Conninfo.parse(self.url.encode())
        return {o.envvar.decode(): o.val.decode() for o in options if o.envvar and o.val}

    def connect(self) -> Connection:
        """Connect, with pgvector's types known: a ``vector`` comes as `pgvector.Vector`.

        Returns
        -------
        Connection
            To be used in a ``with`` block, which commits and closes.

        Raises
        ------
        DatabaseError
            If the database does not answer, or was never migrated.
        """
        connection = self.connect_raw()
        try:
            register_vector(connection)
            connection.commit()
        except psycopg.Error as error:
            connection.close()
            raise DatabaseError(
                f"The database {self.name} has not been set up: apply the migrations first "
                "(`make pipeline` does)."
            ) from error
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Connect for one transaction.

        Yields
        ------
        Connection
            Committed when the block ends, rolled back when it raises.

        Raises
        ------
        DatabaseError
            If the database does not answer or refuses, in its own words.
        """
        with translated_errors(), self.connect() as connection:
            yield connection

    def migrate(self) -> list[str]:
        """Bring the schema up to date; safe to call from several processes at once.

        Returns
        -------
        list of str
            Names of the migrations applied now, none if there was nothing to do.

        Raises
        ------
        DatabaseError
            If the database cannot take the schema; the message says why.
        """
        with translated_errors(), self.connect_raw() as connection:
            connection.autocommit = True
            return migrations.apply(connection)

    def connect_raw(self) -> Connection:
        """Connect to a database that may not have been migrated yet.

        Raises
        ------
        DatabaseError
            If the database does not answer.
        """
        name = self.name
        timeout = (
            {"connect_timeout": CONNECT_TIMEOUT_S} if "connect_timeout" not in self.url else {}
        )
        try:
            return psycopg.connect(make_conninfo(self.url, **timeout))
        except psycopg.OperationalError as error:
            reason = str(error).partition("\n")[0].removeprefix("connection failed: ")
            raise DatabaseError(
                f"The database {name} does not answer ({reason}): check that it runs and that "
                "DATABASE_URL is right, or unset DATABASE_URL to use the embedded server."
            ) from error


@contextmanager
def open_database(database_url: str | None, data_dir: Path) -> Iterator[Database]:
    """Open the database of this project.

    Parameters
    ----------
    database_url : str or None
        A Postgres of one's own; nothing is started then. Without one (None or empty) the
        embedded server under `data_dir` runs as long as the block.
    data_dir : Path
        The project's state folder; the embedded server uses ``postgres/`` in it.

    Yields
    ------
    Database
        One that has answered; `Database.migrate` is the caller's.

    Raises
    ------
    DatabaseError
        If the database does not answer or cannot be started.
    """
    if database_url:
        database = Database(database_url)
        database.connect_raw().close()  # the first failure is the one to tell
        yield database
    else:
        with embedded_server(data_dir / "postgres") as url, explained_space(data_dir / "postgres"):
            yield Database(url)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into `DatabaseError`, one line with the server's hint.

    Raises
    ------
    DatabaseError
        In place of any error of the driver.
    """
    try:
        yield
    except psycopg.Error as error:
        message = error.diag.message_primary or str(error).partition("\n")[0]
        hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        raise DatabaseError(f"{message}{hint}") from error
