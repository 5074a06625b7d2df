"""Recall, latency and throughput of anything that answers queries with numbers of points."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[int], Sequence[int]]
"""Answers query number i with the numbers of the points it found, nearest first."""

BREADTHS = (20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000)


class Searcher(Protocol):
    """What searches: any number of clients, and a breadth that trades time for recall."""

    def widen(self, breadth: int) -> None:
        """Search that broadly from now on."""

    def client(self) -> Ask:
        """Give a client that may be used by one thread."""


@dataclass(frozen=True)
class Timing:
    """How well and how fast something searches.

    Parameters
    ----------
    breadth : int
        The least of `BREADTHS` that has the recall, or the last one.
    recall : float
        Mean share of the true neighbours that were found.
    missed : int
        Queries of which none was found.
    p50_ms, p95_ms, p99_ms : float
        One client's time of a query, milliseconds.
    rates : tuple of float
        Queries a second with 1, 2 and 4 clients.
    """

    breadth: int
    recall: float
    missed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    rates: tuple[float, ...]


def time_search(
    searcher: Searcher,
    truth: NDArray[np.int64],
    target: float,
    seconds: float,
    breadths: Sequence[int] = BREADTHS,
    clients: Sequence[int] = (1, 2, 4),
) -> Timing:
    """Widen a search until it has the recall, then time it.

    Parameters
    ----------
    searcher : Searcher
        What is timed.
    truth : np.ndarray [queries, k]
        Numbers of the true neighbours of each query; -1 where there is none.
    target : float
        Recall to reach.
    seconds : float
        How long each number of clients asks.
    breadths : sequence of int
        To try, ascending.
    clients : sequence of int
        To measure the rates with.

    Returns
    -------
    Timing
        At the first breadth that has the recall.
    """
    ask = searcher.client()
    for breadth in breadths:
        searcher.widen(breadth)
        hits, times = _ask_all(ask, truth)
        if hits.mean() >= target:
            break
    _, times = _ask_all(ask, truth)  # again, now that caches are warm
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1e3
    rates = tuple(_measure_rate(searcher, len(truth), n, seconds) for n in clients)
    missed = int((hits == 0).sum())
    return Timing(breadth, float(hits.mean()), missed, float(p50), float(p95), float(p99), rates)


def _ask_all(ask: Ask, truth: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of hits and seconds of each query."""
    hits, times = np.empty(len(truth)), np.empty(len(truth))
    for number, expected in enumerate(truth):
        begin = time.perf_counter()
        found = ask(number)
        times[number] = time.perf_counter() - begin
        right = {*expected.tolist()} - {-1}
        hits[number] = len(right & {*found}) / len(right)
    return hits, times


def _measure_rate(searcher: Searcher, queries: int, clients: int, seconds: float) -> float:
    """Count the queries a second of so many clients at once, each a thread."""
    asks = [searcher.client() for _ in range(clients)]
    counts = [0] * clients
    start = threading.Barrier(clients)

    def run(client: int) -> None:
        start.wait()
        end = time.perf_counter() + seconds
        number = client * queries // clients
        while time.perf_counter() < end:
            asks[client](number % queries)
            number += 1
            counts[client] += 1

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds
