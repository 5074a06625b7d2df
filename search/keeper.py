"""A process that keeps the embedded server running between commands.

It is a user of the server like any other (see `search.server`), that waits until it is told to
leave. Whether it is there is known by a lock that it holds, which no crash can leave behind.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ml.errors import DatabaseError
from search.server import embedded_server, server_url

STOP_S = 330.0  # a little longer than the server may take to stop
POLL_S = 0.05


def start_keeper(folder: Path) -> str:
    """Have the server of `folder` running until `stop_keeper`; does nothing if it is kept already.

    Parameters
    ----------
    folder : Path
        The server's; made when absent.

    Returns
    -------
    str
        URL to connect to.

    Raises
    ------
    DatabaseError
        If the server does not start; the message says why.
    """
    # Started here first: its errors are told where somebody reads them.
    with embedded_server(folder) as url, (folder / "up.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two who start a keeper at once, one does
        if find_keeper(folder) is None:
            command = [sys.executable, "-m", "search.keeper", str(folder.resolve())]
            with (folder / "keeper.log").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=Path(__file__).parents[1],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            while find_keeper(folder) is None:
                if process.poll() is not None and find_keeper(folder) is None:
                    raise DatabaseError(f"The server is not kept: read {folder / 'keeper.log'}.")
                time.sleep(POLL_S)
        return url


def stop_keeper(folder: Path) -> bool:
    """End the keeper of `folder`; its server stops unless others use it.

    Parameters
    ----------
    folder : Path
        The server's.

    Returns
    -------
    bool
        Whether there was a keeper.

    Raises
    ------
    DatabaseError
        If it does not end.
    """
    pid = find_keeper(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while find_keeper(folder) is not None:
        if time.monotonic() > deadline:
            raise DatabaseError(f"Process {pid}, which keeps the server, does not end: kill it.")
        time.sleep(POLL_S)
    return True


def find_keeper(folder: Path) -> int | None:
    """Find the process that keeps the server of `folder` running, if there is one."""
    try:
        file = (folder / "keeper.lock").open("rb")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read() or 0) or None  # it writes its number once the server runs
    return None


def keep(folder: Path) -> None:
    """Use the server until this process is told to end; leaves at once if another keeps it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (folder / "keeper.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # a look by `find_keeper` is over in a moment
        file.truncate(0)
        with embedded_server(folder) as url:
            assert url == server_url(folder)
            file.write(str(os.getpid()).encode())
            file.flush()
            while True:
                signal.pause()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
