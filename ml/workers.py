"""Work over many items in parallel, by joblib: on this machine, or on a Ray cluster.

`JOBLIB_BACKEND=ray` chooses the cluster that `RAY_ADDRESS` names; the code is the same. Its
machines need this package, and what the work reads and writes at the same paths.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor

from ml.errors import SoundalikeError

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAVE = 8  # items for each worker of a cluster between two looks at what they have done


def on_cluster(variable: str = "JOBLIB_BACKEND", here: str = "loky") -> bool:
    """Tell whether work goes to a Ray cluster.

    Parameters
    ----------
    variable : str
        Of the environment, that says so: `ray`, or what it is called here.
    here : str
        What it is called to stay on this machine, as it does if nothing is said.

    Raises
    ------
    SoundalikeError
        The variable names neither.
    """
    chosen = os.environ.get(variable) or here
    if chosen not in (here, "ray"):
        raise SoundalikeError(f"{variable} is {chosen}: set it to {here} or ray, or unset it.")
    return chosen == "ray"


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
        Processes, as joblib counts them: -1 is one per core of this machine, or of the cluster.

    Yields
    ------
    Result
        As they are finished, in any order.

    Raises
    ------
    SoundalikeError
        The cluster cannot be reached, or Ray is not installed.
    """
    yield from (_map_on_ray if on_cluster() else _map_here)(work, items, n_jobs)


def _map_here(
    work: Callable[[Item], Result], items: Iterable[Item], n_jobs: int
) -> Iterator[Result]:
    parallel = joblib.Parallel(
        n_jobs=n_jobs, return_as="generator_unordered", initializer=_end_with_parent
    )
    try:
        yield from parallel(joblib.delayed(work)(item) for item in items)
    finally:
        # Idle workers live for five minutes, and a forked process waits for them before it ends.
        get_reusable_executor().shutdown(wait=True)


def _map_on_ray(
    work: Callable[[Item], Result], items: Iterable[Item], n_jobs: int
) -> Iterator[Result]:
    """Go in waves: on Ray, joblib gives no result before all that it was given are there."""
    remaining = iter(items)
    with _connected() as cores:
        workers = n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
        # Its actors ask for no core (a step that itself runs on the cluster may hold some), and
        # would all be put on the machine that asks.
        spread = {"scheduling_strategy": "SPREAD"}
        with joblib.Parallel(workers, "ray", batch_size=1, ray_remote_args=spread) as parallel:
            while wave := list(islice(remaining, _WAVE * workers)):
                yield from parallel(joblib.delayed(work)(item) for item in wave)


@contextmanager
def _connected() -> Iterator[int]:
    """Be connected to the cluster, and know how many cores it has."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise SoundalikeError(
            "JOBLIB_BACKEND is ray, which is not installed: install soundalike[cluster]."
        ) from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(log_to_driver=False)
        except ConnectionError as error:
            raise SoundalikeError(
                f"No Ray cluster at {os.environ.get('RAY_ADDRESS')}: start it, or correct "
                "RAY_ADDRESS."
            ) from error
    register_ray()  # type: ignore[no-untyped-call]
    try:
        yield int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
    finally:
        if ours:
            ray.shutdown()


def _end_with_parent() -> None:
    """Ask Linux to end this worker when its parent is killed; it would wait for minutes."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
