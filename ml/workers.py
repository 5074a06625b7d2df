"""Work over many items in parallel: joblib's processes, ended when the work is."""

import ctypes
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], n_jobs: int = -1
) -> Iterator[Result]:
    """Apply a function to items in worker processes.

    Parameters
    ----------
    work : callable
        Picklable.
    items : iterable
        Each is sent to a worker.
    n_jobs : int
        Processes, as joblib counts them: -1 is one per core.

    Yields
    ------
    Result
        As they are finished, in any order.
    """
    parallel = joblib.Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", initializer=_end_with_parent
    )
    try:
        yield from parallel(joblib.delayed(work)(item) for item in items)
    finally:
        # Idle workers live for five minutes, and a forked process waits for them before it ends.
        get_reusable_executor().shutdown(wait=True)


def _end_with_parent() -> None:
    """Ask Linux to end this worker when its parent is killed; it would wait for minutes."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
