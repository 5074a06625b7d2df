"""Connections kept open for a server of many short questions."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from search.database import Connection, Database, translated_errors

STATEMENT_TIMEOUT = "15s"


@dataclass(frozen=True)
class PooledDatabase(Database):
    """A database whose connections are used again by the next transaction.

    A connection that broke is not: the next transaction opens another, so the server may be
    restarted meanwhile. Safe between threads.

    Parameters
    ----------
    kept : int
        Connections that stay open; more are opened when more threads ask at once.
    """

    kept: int = 8
    _idle: "queue.LifoQueue[Connection]" = field(
        default_factory=queue.LifoQueue, init=False, repr=False, compare=False
    )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection for one transaction; as `Database.transaction`."""
        with translated_errors():
            connection = self._take()
            try:
                with connection.transaction():
                    yield connection
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _take(self) -> Connection:
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return self._open()
            if _answers(connection):
                return connection
            connection.close()

    def _open(self) -> Connection:
        connection = self.connect()
        connection.autocommit = True  # of what is outside of `connection.transaction`
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection.closed or self._idle.qsize() >= self.kept:
            connection.close()
        else:
            self._idle.put(connection)


def _answers(connection: Connection) -> bool:
    try:
        connection.execute("")  # a round trip, and nothing else
    except psycopg.Error:
        return False
    return not connection.closed
