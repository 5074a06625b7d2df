"""A worker that crashes, hangs or eats memory costs the item it was at, and nothing else."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml.errors import AudioError
from ml.isolation import WorkerFailure, WorkerLimits, map_isolated

PROCESS = "__import__('os').getpid()"
FINE = [f"{number} + 1" for number in range(20)]
SMALL = WorkerLimits(seconds=60, megabytes=200)
QUICK = WorkerLimits(seconds=3, megabytes=200)

# What is evaluated in the worker -> what is to come of it.
DEADLY = {
    "__import__('os').abort()": WorkerFailure("crash", -signal.SIGABRT),
    "__import__('ctypes').string_at(0)": WorkerFailure("crash", -signal.SIGSEGV),
    "__import__('os')._exit(0)": WorkerFailure("crash", 0),
    "__import__('os')._exit(3)": WorkerFailure("crash", 3),
    "__import__('os').kill(__import__('os').getpid(), 9)": WorkerFailure("crash", -9),
    "__import__('time').sleep(100)": WorkerFailure("time", -signal.SIGALRM),
    "__import__('ctypes').PyDLL(None).sleep(100)": WorkerFailure("time", -signal.SIGALRM),
    "bytearray(1 << 29)": WorkerFailure("memory"),
    "[bytearray(1 << 20) for _ in range(10**6)]": WorkerFailure("memory"),
}


def evaluate(items: list[str], limits: WorkerLimits = SMALL, n_jobs: int = 2) -> dict[str, Any]:
    return dict(map_isolated(eval, items, limits, n_jobs))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_item_is_done_once_and_workers_end(n_jobs: int) -> None:
    done = list(map_isolated(eval, FINE, n_jobs=n_jobs))
    assert sorted(done) == sorted((item, number + 1) for number, item in enumerate(FINE))
    assert not multiprocessing.active_children()


def test_no_items_give_no_results() -> None:
    assert evaluate([]) == {}


@pytest.mark.parametrize("deadly", DEADLY)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_item_that_misbehaves_is_lost_alone(deadly: str, n_jobs: int) -> None:
    limits = QUICK if DEADLY[deadly].cause == "time" else SMALL
    done = evaluate([*FINE[:10], deadly, *FINE[10:]], limits, n_jobs)
    assert done.pop(deadly) == DEADLY[deadly]
    assert done == {item: number + 1 for number, item in enumerate(FINE)}
    assert not multiprocessing.active_children()


def test_run_goes_on_when_most_items_misbehave() -> None:
    deadly = [item for item in DEADLY if DEADLY[item].cause == "crash"]
    items = [f"({item}, {number})" for number in range(4) for item in deadly]
    done = list(map_isolated(eval, [*items, *FINE], SMALL, 2))
    assert len(done) == len(items) + len(FINE)
    failed = {item for item, result in done if isinstance(result, WorkerFailure)}
    assert failed == set(items)


def test_worker_lives_as_long_as_nothing_kills_it() -> None:
    done = [result for _, result in map_isolated(eval, [PROCESS] * 50, SMALL, 2)]
    assert 1 <= len(set(done)) <= 2
    assert os.getpid() not in done


def test_memory_is_given_back_for_the_next_item() -> None:
    items = [f"len(bytearray(150 << 20)) + {number}" for number in range(5)]
    assert list(evaluate(items, n_jobs=1).values()) == [(150 << 20) + n for n in range(5)]


def test_time_limit_counts_for_each_item_and_not_for_their_sum() -> None:
    items = [f"__import__('time').sleep(0.5) or {number}" for number in range(7)]
    assert sorted(evaluate(items, QUICK, 1).values()) == list(range(7))


def test_time_for_which_the_clock_is_stopped_does_not_count() -> None:
    stopped = "__import__('ml.isolation').isolation.stop_clock()"
    enter, leave = "clock.__enter__()", "clock.__exit__(None, None, None)"
    sleep = "__import__('time').sleep"
    item = f"[[{enter}, {sleep}(4), {leave}] and 'done' for clock in [{stopped}]][0]"
    late = f"[[{enter}, {leave}, {sleep}(100)] for clock in [{stopped}]]"
    assert evaluate([item, late], QUICK) == {
        item: "done",
        late: WorkerFailure("time", -signal.SIGALRM),
    }


def test_error_of_the_work_is_raised_and_workers_end() -> None:
    error = "(_ for _ in ()).throw(__import__('ml.errors').errors.AudioError('reason', 'Do this.'))"
    with pytest.raises(AudioError, match="Do this"):
        evaluate([error, *FINE])
    assert not multiprocessing.active_children()


def test_exception_that_is_a_result_is_not_raised() -> None:
    (result,) = evaluate(["KeyError('a result')"]).values()
    assert repr(result) == "KeyError('a result')"


def test_caller_that_stops_early_leaves_no_workers() -> None:
    results = map_isolated(eval, [*FINE, *["__import__('time').sleep(100)"] * 4], n_jobs=2)
    next(results)
    assert multiprocessing.active_children()
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


ORPHANS = """
from ml.isolation import map_isolated
if __name__ == "__main__":
    for _, result in map_isolated(eval, ["__import__('os').getpid()", "__import__('os').getpid()",
                                         *["__import__('time').sleep(100)"] * 4], n_jobs=1):
        print(result, flush=True)
"""


def test_workers_end_when_their_caller_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, cwd=Path.cwd()
    ) as process:
        assert process.stdout
        worker = psutil.Process(int(process.stdout.readline()))
        processes = [worker, *psutil.Process(process.pid).children(recursive=True)]
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert all(one.status() == psutil.STATUS_ZOMBIE for one in alive)
