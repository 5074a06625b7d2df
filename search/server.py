"""The embedded server: a PostgreSQL that lives exactly as long as someone uses it.

Users are counted by the operating system. Each holds a shared lock on ``users.lock``, which it
loses by leaving or by dying, however it dies. Starting and stopping are serialised by an exclusive
lock on ``start.lock``. Whoever leaves and can then lock ``users.lock`` for itself alone was the
last, and stops the server. A server whose users were all killed is adopted by the next one.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ml.errors import DatabaseError
from search.binaries import binaries
from search.cluster import Cluster
from search.machine import require_space


def server_url(folder: Path) -> str:
    """Name the address that the server of `folder` has when it runs.

    Parameters
    ----------
    folder : Path
        The server's folder.

    Returns
    -------
    str
        A ``postgresql://`` URL of a Unix socket. Nothing is started or read.
    """
    return Cluster(folder.resolve()).url


def is_running(folder: Path) -> bool:
    """Tell whether the server of `folder` answers; starts nothing."""
    return Cluster(folder.resolve()).answers()


def psql_path() -> Path:
    """Find the bundled ``psql``, for people who ask in SQL.

    Returns
    -------
    Path
        The program; call it with a URL.

    Raises
    ------
    DatabaseError
        If the binaries are not installed.
    """
    return binaries() / "psql"


@contextmanager
def embedded_server(folder: Path) -> Iterator[str]:
    """Have the server of `folder` running within the ``with`` block.

    Any number of processes and threads may do so at once, and nested.

    Parameters
    ----------
    folder : Path
        Where its data lives; made when absent. One folder, one server.

    Yields
    ------
    str
        URL to connect to.

    Raises
    ------
    DatabaseError
        If the server cannot run here; the message says what to do.
    """
    cluster = Cluster(folder.resolve())
    try:
        cluster.folder.mkdir(parents=True, exist_ok=True)
        users = (cluster.folder / "users.lock").open("ab")
    except OSError as error:
        raise DatabaseError(
            f"The database's folder {folder} cannot be used ({error.strerror}): make it "
            "writable, or set DATA_DIR to another one."
        ) from error
    with users:
        try:
            with _start_lock(cluster.folder):
                fcntl.flock(users, fcntl.LOCK_SH)
                cluster.ensure_running()
            yield cluster.url
        finally:
            with _start_lock(cluster.folder):
                if _is_last(users):
                    cluster.stop()


@contextmanager
def explained_space(folder: Path) -> Iterator[None]:
    """Tell of a full disk when work on the server of `folder` fails within the ``with`` block.

    A server whose disk is full may say so, or may go down without a word.

    Raises
    ------
    DatabaseError
        In place of the same error, if so little space is left that the server would not start.
    """
    try:
        yield
    except DatabaseError as error:
        try:
            require_space(folder)
        except DatabaseError as shortage:
            raise DatabaseError(f"{str(error).rstrip('.')}. {shortage}") from error
        raise


@contextmanager
def _start_lock(folder: Path) -> Iterator[None]:
    with (folder / "start.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_last(users: IO[bytes]) -> bool:
    """Give up this user's lock; whether nobody else holds one."""
    # Unlocked by name, not by closing: a forked child may still have the same open file.
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(users, fcntl.LOCK_UN)
    return True
