"""Which runs are alive: each holds a lock, which the system lets go of however its process ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunLocks:
    """The locks of the runs that were started on this machine.

    Parameters
    ----------
    folder : Path
        Of one file per live run; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, run_id: str) -> Iterator[None]:
        """Be alive within the block."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(run_id)
        with path.open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def collect(self, run_id: str) -> bool:
        """Tell whether a run was killed, and forget it then; a run of another machine is unknown.

        Parameters
        ----------
        run_id : str
            Of a run that the tracking server believes to be running.

        Returns
        -------
        bool
        """
        path = self._path(run_id)
        try:
            with path.open("r+b") as lock:  # NFS locks only what is open for writing
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            return False
        return True

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.lock"
