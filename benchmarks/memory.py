"""How much memory a process and its workers come to hold, by looking many times a second."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_INTERVAL_SECONDS = 0.1
_MEGABYTE = 1 << 20


@dataclass
class Peak:
    """The most that was seen, in megabytes resident; pages that processes share count in each."""

    process: float = 0.0
    workers: float = 0.0
    """Of all descendants together."""
    total: float = 0.0


@contextmanager
def watch_memory() -> Iterator[Peak]:
    """Watch this process and its descendants within the block.

    Yields
    ------
    Peak
        Final on leaving the block.
    """
    peak, ended = Peak(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(peak, ended), daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def _watch(peak: Peak, ended: threading.Event) -> None:
    process = psutil.Process()
    while True:
        own = process.memory_info().rss / _MEGABYTE
        workers = sum(map(_resident, process.children(recursive=True)))
        peak.process = max(peak.process, own)
        peak.workers = max(peak.workers, workers)
        peak.total = max(peak.total, own + workers)
        if ended.wait(_INTERVAL_SECONDS):
            return


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss / _MEGABYTE)
    except psutil.Error:  # it has ended meanwhile
        return 0.0
