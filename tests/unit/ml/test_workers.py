"""Work in processes: every item once, errors passed on, nothing left running."""

import contextlib
import operator
import os
import time
from pathlib import Path

import psutil
import pytest

from ml.audio import decode
from ml.errors import AudioError
from ml.workers import map_in_parallel


def running_workers() -> list[int]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "LokyProcess" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_item_is_done_once_and_workers_end(n_jobs: int) -> None:
    assert sorted(map_in_parallel(operator.neg, range(20), n_jobs)) == list(range(-19, 1))
    assert not running_workers()


def test_no_items_give_no_results() -> None:
    assert list(map_in_parallel(operator.neg, [], 2)) == []


def test_work_happens_in_other_processes() -> None:
    processes = set(map_in_parallel(eval, ["__import__('os').getpid()"] * 8, 2))
    assert processes
    assert os.getpid() not in processes


def test_error_of_a_worker_reaches_the_caller_and_workers_end(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="put it back"):
        list(map_in_parallel(decode, [tmp_path / "absent.wav"], 2))
    assert not running_workers()


def test_caller_that_stops_early_leaves_no_workers() -> None:
    results = map_in_parallel(time.sleep, [0.01] + [1] * 99, 2)
    next(results)
    assert running_workers()
    with pytest.warns(UserWarning, match="cancelled"):
        results.close()  # type: ignore[attr-defined]
    assert not running_workers()
