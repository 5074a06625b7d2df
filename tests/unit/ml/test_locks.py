"""Locks between processes, on every disk that has them."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from ml.audio_store import AudioStore
from ml.errors import CatalogError
from ml.locks import lock_file
from ml.run_locks import RunLocks
from ml.storage import replace_file, sweep_temporaries


def test_error_of_the_work_is_not_taken_for_another_run(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), AudioStore(tmp_path).lock(0):
        raise BlockingIOError


def test_lock_is_refused_while_it_is_held_and_let_go_of(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            lock_file(tmp_path / "lock"),
            pytest.raises(CatalogError, match="Wait for it"),
            lock_file(tmp_path / "lock", busy="Wait for it."),
        ):
            pytest.fail("held twice")


def test_locks_ask_for_no_more_than_nfs_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def lock_as_nfs(handle: int, operation: int) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", lock_as_nfs)
    with AudioStore(tmp_path).lock(7), RunLocks(tmp_path / "runs").hold("a"):
        assert not RunLocks(tmp_path / "runs").collect("a")
    with replace_file(tmp_path / "file"):
        sweep_temporaries(tmp_path)
    assert (tmp_path / "file").exists()


def test_disk_without_locks_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(CatalogError, match=r"Cannot lock .* a disk that has file locks"),
        AudioStore(tmp_path).lock(7),
    ):
        pytest.fail("not held")


def test_folder_that_cannot_be_written_is_said_in_one_line(unprivileged: Path) -> None:
    unprivileged.chmod(0o500)
    with (
        pytest.raises(CatalogError, match="let this user write there"),
        AudioStore(unprivileged).lock(7),
    ):
        pytest.fail("not held")
