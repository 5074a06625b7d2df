"""What Prometheus scrapes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 30)


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "soundalike_request_seconds",
            "Time to the whole answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.stages = Histogram(
            "soundalike_search_stage_seconds",
            "Time of the parts of a search.",
            ("kind", "stage"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "soundalike_uploads_refused_total",
            "Uploads refused because others were being embedded.",
            registry=self.registry,
        )
        self.embedding = Gauge(
            "soundalike_uploads_embedding",
            "Uploads being decoded and embedded now.",
            registry=self.registry,
        )

    def expose(self) -> bytes:
        """Write them in Prometheus's text format."""
        return generate_latest(self.registry)
