"""Write files so that a kill at any instant leaves the old file or the new one, never a half."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ml.errors import SoundalikeError

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

    Raises
    ------
    SoundalikeError
        The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{SUFFIX}")
    with explain_full_disk(path.parent):
        # Who may read it is for the umask to say: `tempfile` would let nobody else.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)  # held while the writer lives: see `sweep_temporaries`
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
                if sync_name:
                    _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def explain_full_disk(folder: Path, otherwise: str = "") -> Iterator[None]:
    """Say what to do about a full disk, whatever was being written.

    Parameters
    ----------
    folder : Path
        On that disk.
    otherwise : str, optional
        What else one may do than make room.

    Raises
    ------
    SoundalikeError
        There is no space left, or no quota.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SoundalikeError(
            f"No space is left on the disk of {folder}: make room{otherwise}, and run this again; "
            "what is done stays done."
        ) from error


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
            with temporary.open("r+b") as file:  # NFS locks only what is open for writing
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                temporary.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError, PermissionError):
            continue
