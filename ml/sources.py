"""Audio files where they lie: on this machine, or on any file system that fsspec reaches.

libsndfile wants a file of this machine, so a remote one is copied to a file without a name: nothing
is left of it, whatever ends the process.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from fsspec.core import url_to_fs

from ml.errors import AudioError, CatalogError, SoundalikeError
from ml.isolation import stop_clock
from ml.storage import explain_full_disk

MISSING = "missing"
"""Fingerprint of a file that is not there."""

_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")
"""What tells one content of a remote file from the next, by the names that file systems use."""


def is_remote(path: str) -> bool:
    """Tell a URL from a path of this machine."""
    return "://" in path


def list_files(folder: str) -> dict[str, dict[str, Any]]:
    """List all files below a remote folder, a thousand a request on S3.

    Parameters
    ----------
    folder : str
        URL.

    Returns
    -------
    dict of str to dict
        What the file system says of each, by its URL.

    Raises
    ------
    CatalogError
        The folder cannot be listed.
    """
    try:
        system, root = url_to_fs(folder)
        system.invalidate_cache()
        found = system.find(root, detail=True)
        return {system.unstrip_protocol(name): info for name, info in found.items()}
    except Exception as error:
        why = " ".join(str(error).split())
        raise CatalogError(
            f"Cannot list {folder} ({why}): check the address, its credentials and the network."
        ) from error


def fingerprint_files(paths: Iterable[str]) -> dict[str, str]:
    """Tell cheaply whether files may have changed: by size and time, remote ones by their ETag.

    Parameters
    ----------
    paths : iterable of str
        Of this machine, or URLs of one file system.

    Returns
    -------
    dict of str to str
        By path; `MISSING` for what is not there.
    """
    paths = list(paths)
    remote = [path for path in paths if is_remote(path)]
    # Not a question for each file: a catalogue on S3 would take half an hour to find unchanged.
    found = list_files(_common_folder(remote)) if remote else {}
    return {
        path: _fingerprint_remote(found.get(path)) if is_remote(path) else fingerprint_file(path)
        for path in paths
    }


def _common_folder(urls: list[str]) -> str:
    scheme = urls[0].partition("://")[0]
    folders = {url.partition("://")[2].rpartition("/")[0] for url in urls}
    return f"{scheme}://{os.path.commonpath(folders)}"


def fingerprint_file(path: str) -> str:
    """Do what `fingerprint_files` does for a file of this machine."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return MISSING
    return f"{status.st_size}:{status.st_mtime_ns}"


def _fingerprint_remote(info: Mapping[str, Any] | None) -> str:
    if info is None:
        return MISSING
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    return f"{info['size']}:{version}".replace('"', "")


@contextmanager
def open_locally(path: str, max_bytes: int) -> Iterator[Path]:
    """Have a file under a path of this machine, copied if it is a remote one.

    Parameters
    ----------
    path : str
        Of this machine, or a URL.
    max_bytes : int
        A larger remote file is not copied.

    Raises
    ------
    AudioError
        For a remote file: `missing_file`, `unreadable` or `too_many_bytes`.
    SoundalikeError
        The disk of ``TMPDIR`` is full.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with _temporary_file() as copy:
        target = Path(f"/dev/fd/{copy.fileno()}")
        with stop_clock():  # a slow network is no fault of the file's
            _download(path, target, max_bytes)
        yield target


def _temporary_file() -> IO[bytes]:
    with _explain_full_disk():
        return tempfile.TemporaryFile()


def _explain_full_disk() -> AbstractContextManager[None]:
    return explain_full_disk(Path(tempfile.gettempdir()), ", or set TMPDIR to a larger one")


def _download(url: str, target: Path, max_bytes: int) -> None:
    try:
        system, name = url_to_fs(url)
        _check_size(system.info(name)["size"], max_bytes)
        with _explain_full_disk():
            system.get_file(name, str(target))
    except (SoundalikeError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise AudioError(
            "missing_file", "No file at its path: put it back, or take the track out."
        ) from error
    except Exception as error:
        why = " ".join(str(error).split())
        raise AudioError(
            "unreadable", f"Reading stopped ({why}): check the permission and the network."
        ) from error


def _check_size(size: int | None, max_bytes: int) -> None:
    if size and size > max_bytes:
        raise AudioError(
            "too_many_bytes", f"{size:,} bytes, at most {max_bytes:,}: cut it into parts."
        )
