"""Connections kept open for a server of many short questions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from pgvector.psycopg import register_vector
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping
from psycopg_pool import ConnectionPool, PoolTimeout

from search.database import Connection, Database, translated_errors

STATEMENT_TIMEOUT = "15s"
GLANCE_S, PATIENCE_S = 0.5, 5.0
"""How long to wait for a connection: before the server is asked whether it lives, and after."""
RECONNECT_S = 1.0
"""How long the pool tries again by itself; it is the next transaction that tries after that."""


@dataclass(frozen=True)
class PooledDatabase(Database):
    """A database whose connections are used again by the next transaction.

    Each is asked for a sign of life first, so the server may be restarted meanwhile. While all are
    in use one waits for a few seconds; while the server is away, half of one. Safe between threads.

    Parameters
    ----------
    most : int
        Connections at once; by default as many as the web server has threads.
    """

    most: int = 40

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection for one transaction; as `Database.transaction`."""
        with translated_errors():
            taken = self._take()
            try:
                with taken as connection:
                    yield connection
            finally:
                self._pool.putconn(taken)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _take(self) -> Connection:
        try:
            return self._pool.getconn(GLANCE_S)
        except PoolTimeout:
            address = make_conninfo(self.url, connect_timeout=int(PATIENCE_S))
            if PGconn.ping(address.encode()) != Ping.OK:
                raise
            self._pool.check()  # a server that was started again left broken ones behind
            return self._pool.getconn(PATIENCE_S)

    @cached_property
    def _pool(self) -> ConnectionPool[Connection]:
        return ConnectionPool(
            self.url,
            min_size=1,
            max_size=self.most,
            reconnect_timeout=RECONNECT_S,
            configure=_configure,
            check=ConnectionPool.check_connection,
            open=True,
        )


def _configure(connection: Connection) -> None:
    register_vector(connection)
    connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.commit()
