"""Progress of long work as log lines: a terminal, a log file and the Dagster UI all show them."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track_progress(
    items: Iterable[Item], total: int, what: str, logger: logging.Logger, every: float = 5.0
) -> Iterator[Item]:
    """Yield `items`, logging how far it is, how fast, and how long it will take.

    Parameters
    ----------
    items : iterable
        The work, or its results as they arrive.
    total : int
        How many there will be.
    what : str
        What is counted, such as ``"tracks decoded"``.
    logger : logging.Logger
        Where the lines go.
    every : float
        Seconds between lines; work that is done sooner gets none.

    Yields
    ------
    Item
        The items, unchanged.
    """
    started = reported = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - reported >= every:
            reported = now
            rate = done / (now - started)
            logger.info(
                "%s of %s %s, %.1f/s, %.0f s left",
                f"{done:,}",
                f"{total:,}",
                what,
                rate,
                (total - done) / rate,
            )
