"""How long the parts of a search take: told to the client, counted for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from search.api.metrics import Metrics


class Stages:
    """Seconds of each part of one request, in their order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    @property
    def header(self) -> str:
        """Value of the header ``Server-Timing`` (W3C), milliseconds."""
        return ", ".join(f"{name};dur={1000 * spent:.2f}" for name, spent in self.seconds.items())

    def observe(self, metrics: Metrics, kind: str) -> None:
        """Count them."""
        for name, spent in self.seconds.items():
            metrics.stages.labels(kind, name).observe(spent)
