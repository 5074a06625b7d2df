"""The processes beside the one that asked for a training."""

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from torch import distributed

from ml.errors import TrainingError
from ml.training.hardware import Hardware, Seat

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
    port = _find_port() if hardware.devices > 1 else 0
    seats = [Seat(hardware, rank, port) for rank in range(1, hardware.devices)]
    started = [_start(follow, seat) for seat in seats]
    followers = [follower for follower, _ in started]
    try:
        for follower, ready in started:
            _await(follower, ready)
        yield Seat(hardware, 0, port)
    except RuntimeError as error:  # what is left of the others' talk is hard to read
        for follower in followers:
            follower.join(1)
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


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
