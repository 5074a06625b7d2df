"""The processes beside the one that asked for a training."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import distributed

from ml.errors import TrainingError
from ml.training.hardware import Hardware
from ml.training.seats import Seat

Follow = Callable[[Seat], object]

GRACE_SECONDS = 10.0
"""For a process to end by itself, once rank 0 has."""


@contextmanager
def run_followers(hardware: Hardware, follow: Follow) -> Iterator[Seat]:
    """Run the processes of ranks 1 and up while the block does the work of rank 0.

    Parameters
    ----------
    hardware : Hardware
        How many there are.
    follow : callable
        Their work; picklable, since they are spawned: a fork would inherit locked thread pools.

    Yields
    ------
    Seat
        Of rank 0.

    Raises
    ------
    TrainingError
        One of them ended before its time.
    """
    if hardware.devices == 1:
        yield Seat(hardware)
        return
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        meeting = Path(folder).resolve() / "meeting"
        own, *others = [Seat(hardware, rank, meeting) for rank in range(hardware.devices)]
        with _attended([_start(follow, seat) for seat in others]):
            yield own


@contextmanager
def _attended(started: list[tuple[SpawnProcess, Connection]]) -> Iterator[None]:
    """Do the block once all processes are there; none of them outlives it."""
    followers = [follower for follower, _ in started]
    try:
        for follower, ready in started:
            _await(follower, ready)
        yield
    except RuntimeError as error:  # what is left of the others' talk is hard to read
        for follower in followers:
            follower.join(GRACE_SECONDS)
            if follower.exitcode:
                raise _mourn(follower) from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for follower in followers:
            follower.join(GRACE_SECONDS)
            follower.kill()
            follower.join()


def _start(follow: Follow, seat: Seat) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ready, ours = context.Pipe(duplex=False)
    process = context.Process(target=_follow, args=(ours, follow, seat))
    process.start()
    ours.close()
    return process, ready


def _await(follower: SpawnProcess, ready: Connection) -> None:
    """Wait for its first word: whoever waits for a dead process to join waits for half an hour."""
    try:
        with ready:
            ready.recv()
    except EOFError as error:
        follower.join()
        raise _mourn(follower) from error


def _follow(ready: Connection, follow: Follow, seat: Seat) -> None:
    ready.send(seat.rank)
    follow(seat)


def _mourn(follower: SpawnProcess) -> TrainingError:
    return TrainingError(
        f"A training process ended with exit code {follower.exitcode}: see its message above, or "
        "train with `devices` 1."
    )
