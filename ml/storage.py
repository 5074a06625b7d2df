"""Write files so that a kill at any instant leaves the old file or the new one, never a half."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SUFFIX = ".tmp"


@contextmanager
def replace_file(path: Path, *, sync_name: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes `path` on leaving, if nothing was raised.

    Parameters
    ----------
    path : Path
        Final name; its folder is made if absent.
    sync_name : bool
        Whether the name outlives a power cut too. One that a later file of the same folder
        vouches for need not: that file's own `replace_file` sees to all of the folder.

    Yields
    ------
    IO[bytes]
        Open for writing in binary.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=SUFFIX)
    fcntl.flock(handle, fcntl.LOCK_EX)  # held while the writer lives: see `sweep_temporaries`
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(temporary).replace(path)
            if sync_name:
                _sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last: after a power cut the file would be there, the name not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep_temporaries(folder: Path) -> None:
    """Remove the temporary files that killed writers left; those being written are spared.

    Parameters
    ----------
    folder : Path
        Where `replace_file` was at work; need not exist.
    """
    for temporary in folder.glob(f".*{SUFFIX}"):
        try:
            with temporary.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue
