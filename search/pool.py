"""Connections kept open for a server of many short questions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pgvector.psycopg import register_vector
from psycopg_pool import ConnectionPool

from search.database import Connection, Database, translated_errors

STATEMENT_TIMEOUT = "15s"
PATIENCE_S = 5.0


@dataclass(frozen=True)
class PooledDatabase(Database):
    """A database whose connections are used again by the next transaction.

    Each is asked for a sign of life first, so the server may be restarted meanwhile. Safe between
    threads.

    Parameters
    ----------
    most : int
        Connections at once; by default as many as the web server has threads.
    """

    most: int = 40

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection for one transaction; as `Database.transaction`."""
        with translated_errors(), self._pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    @cached_property
    def _pool(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self.url,
            min_size=1,
            max_size=self.most,
            timeout=PATIENCE_S,
            configure=_configure,
            check=ConnectionPool.check_connection,
            open=True,
        )


def _configure(connection: Connection) -> None:
    register_vector(connection)
    connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.commit()
