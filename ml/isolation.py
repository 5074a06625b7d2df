"""Work in processes that may crash, hang or eat memory: each such item is lost alone.

Every worker has a pipe of its own and does one item after another for as long as it lives, so a
healthy run starts each process once. A worker that dies is replaced, and the item it was at is
answered by a `WorkerFailure`. (The pools of joblib and concurrent.futures give up all their items
when one worker dies.)
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Generic, Literal, TypeVar

import joblib

Item = TypeVar("Item")
Result = TypeVar("Result")

_CONTEXT = multiprocessing.get_context("forkserver")  # forking is cheap, and safe beside threads
_AHEAD = 2  # items at a worker: one in hand, one that keeps it busy while the caller is


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker may use."""

    seconds: float = 300.0
    """Wall clock, for each item."""
    megabytes: int = 1024
    """Data (resource limit RLIMIT_DATA) beyond what the worker holds before its first item."""


@dataclass(frozen=True)
class WorkerFailure:
    """What stands for the result of an item that a worker could not finish."""

    cause: Literal["crash", "time", "memory"]
    exit_code: int | None = None
    """Negative is a signal; None where the worker lives on."""


def map_isolated(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    limits: WorkerLimits | None = None,
    n_jobs: int = -1,
) -> Iterator[tuple[Item, Result | WorkerFailure]]:
    """Apply a function to items in limited worker processes.

    Parameters
    ----------
    work : callable
        Picklable. What it raises is raised here, MemoryError excepted.
    items : iterable
        Picklable and small, as are the results: a path in, a count out.
    limits : WorkerLimits, optional
        Time and memory.
    n_jobs : int
        Processes, as joblib counts them: -1 is one per core.

    Yields
    ------
    tuple of (Item, Result or WorkerFailure)
        As they are finished, in any order.
    """
    module = str(getattr(getattr(work, "func", work), "__module__", __name__))
    _CONTEXT.set_forkserver_preload([__name__, module, *_imported_by_main()])
    supply = _Supply(items)
    workers: list[_Worker[Item, Result]] = []
    try:
        while len(workers) < joblib.effective_n_jobs(n_jobs) and supply.more():
            workers.append(_Worker(work, limits or WorkerLimits(), supply))
        while busy := {worker.pipe: worker for worker in workers if worker.given}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]  # it is one of those given
                yield worker.take()
                if worker.dead:
                    workers.remove(worker)
                    workers.append(_Worker(work, worker.limits, supply))
    finally:
        for worker in workers:
            worker.end()


def _imported_by_main() -> list[str]:
    """Name the modules that the main module took something from.

    The server of forks imports them once. Each worker runs the main module anew, as
    multiprocessing does it, and would spend most of a second on them. (Python 3.11 does not heed
    the `__main__` that the server may be told to import.)
    """
    named = (
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        for value in vars(sys.modules["__main__"]).values()
    )
    return sorted({name for name in named if isinstance(name, str)} - {"__main__"})


@dataclass(frozen=True)
class _Raised:
    """What the work raised, told from an exception that it gave as its result."""

    error: Exception


class _Supply(Generic[Item]):
    """Items still to do, those taken back from a dead worker first."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = iter(items)
        self.returned: deque[Item] = deque()

    def more(self) -> bool:
        if not self.returned:
            self.returned.extend(item for _, item in zip(range(1), self.items, strict=False))
        return bool(self.returned)


class _Worker(Generic[Item, Result]):
    """A process and what it was given to do."""

    def __init__(
        self, work: Callable[[Item], Result], limits: WorkerLimits, supply: _Supply[Item]
    ) -> None:
        self.limits, self.supply = limits, supply
        self.given: deque[Item] = deque()
        self.dead = False
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(theirs, work, limits), daemon=True)
        self.process.start()
        theirs.close()
        self._fill()

    def _fill(self) -> None:
        while len(self.given) < _AHEAD and self.supply.more():
            self.given.append(self.supply.returned.popleft())
            with contextlib.suppress(OSError):  # it is dead: `take` will find that out
                self.pipe.send(self.given[-1])

    def take(self) -> tuple[Item, Result | WorkerFailure]:
        item = self.given.popleft()
        try:
            answer: Result | WorkerFailure | _Raised = self.pipe.recv()
        except (EOFError, OSError):
            return item, self._bury()
        if isinstance(answer, _Raised):
            raise answer.error
        self._fill()
        return item, answer

    def _bury(self) -> WorkerFailure:
        self.dead = True
        self.pipe.close()
        self.process.join()
        self.supply.returned.extend(self.given)
        code = self.process.exitcode
        return WorkerFailure("time" if code == -signal.SIGALRM else "crash", code)

    def end(self) -> None:
        self.pipe.close()  # on which an idle worker ends by itself
        if self.given:
            self.process.kill()
        self.process.join()


def _serve(pipe: Connection, work: Callable[[Item], Result], limits: WorkerLimits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the caller, which ends this
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(limits.megabytes)
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(_try(work, pipe.recv(), limits.seconds))


def _try(
    work: Callable[[Item], Result], item: Item, seconds: float
) -> Result | WorkerFailure | _Raised:
    # The kernel ends the process when the time is up, even one that is stuck in a C library.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return work(item)
    except MemoryError:
        return WorkerFailure("memory")
    except Exception as error:  # noqa: BLE001 (raised again by the caller)
        return _Raised(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def stop_clock() -> Iterator[None]:
    """Let a worker's time limit not count what is done within the block."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_memory(megabytes: int) -> None:
    if sys.platform != "linux":  # elsewhere the kernel does not count what is mapped
        return
    held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + (megabytes << 20), hard))
