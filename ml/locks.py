"""Locks between processes: the system lets go of them however their holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import CatalogError


@contextmanager
def lock_file(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock within the block.

    Parameters
    ----------
    path : Path
        A file for nothing but this; made if absent, and never removed.
    busy : str, optional
        What to say if another process holds it; by default it is waited for.

    Raises
    ------
    CatalogError
        Another process holds it, or there can be no lock.
    """
    handle = _open(path)
    try:
        _lock(handle, path, busy)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # For writing: NFS locks by a means that asks for it.
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise CatalogError(
            f"Cannot write {path} ({error.strerror}): let this user write there, or set DATA_DIR "
            "to another folder."
        ) from error


def _lock(handle: int, path: Path, busy: str | None) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError as error:
        raise CatalogError(busy or "") from error
    except OSError as error:
        raise CatalogError(
            f"Cannot lock {path} ({error.strerror}): set DATA_DIR to a disk that has file locks."
        ) from error
