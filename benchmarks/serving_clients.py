"""Clients of the search API: what they send, and what came of it, timed."""

import json
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import numpy as np

from benchmarks.search_database import track_name

API = "/api/v1/searches"
STAGES = ("receive", "decode", "encode", "query", "serialise")
FORM = "multipart/form-data; boundary=b"
REGION_MS = (60_000, 70_000)


@dataclass(frozen=True)
class Answer:
    """What was answered, and how long each stage took, milliseconds."""

    status: int
    stages: dict[str, float] = field(default_factory=dict)
    body: bytes = b""
    retry_after_s: float = 0.0


Ask = Callable[[int], Answer]
"""Does request number i."""


class Client:
    """Sends searches; each thread over a connection of its own, kept alive."""

    def __init__(self, port: int, song: bytes) -> None:
        self.port, self.song, self.local = port, song, threading.local()

    def by_segment(self, number: int, version: int | None = None) -> Answer:
        """Search by the first ten seconds of a track."""
        wanted = {"track_id": track_name(number), "start_ms": 0, "model_version": version}
        return self._post(json.dumps(wanted).encode(), "application/json")

    def by_upload(self, version: int | None = None) -> Answer:
        """Search by ten seconds of the song."""
        options = json.dumps({"model_version": version}).encode()
        start, end = (str(ms).encode() for ms in REGION_MS)
        fields = (("start_ms", start), ("end_ms", end), ("options", options))
        parts = [(name, b"", value) for name, value in fields]
        parts.append(("file", b'; filename="song"', self.song))
        head = '--b\r\nContent-Disposition: form-data; name="{}"'
        body = b"".join(
            head.format(name).encode() + more + b"\r\n\r\n" + value + b"\r\n"
            for name, more, value in parts
        )
        return self._post(body + b"--b--\r\n", FORM)

    def _post(self, body: bytes, kind: str) -> Answer:
        client = self._connection()
        client.request("POST", API, body, {"Content-Type": kind})
        answer = client.getresponse()
        content = answer.read()
        timings = answer.headers.get("Server-Timing", "").split(", ")
        parts = (timing.partition(";dur=") for timing in timings)
        stages = {name: float(spent) for name, _, spent in parts if spent}
        retry_after_s = float(answer.headers.get("Retry-After", 0))
        return Answer(answer.status, stages, content, retry_after_s)

    def _connection(self) -> HTTPConnection:
        if not hasattr(self.local, "connection"):
            self.local.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.local.connection.connect()
            self.local.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found: HTTPConnection = self.local.connection
        return found


class Tally:
    """What came of requests: times of those that were answered, and what must not be."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.stages: dict[str, list[float]] = defaultdict(list)
        self.statuses: Counter[int] = Counter()
        self.lock = threading.Lock()

    def add(self, answer: Answer, spent_ms: float) -> None:
        """Count one; one that was refused tells nothing of how long an answer takes."""
        with self.lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.times.append(spent_ms)
                for stage in STAGES:
                    self.stages[stage].append(answer.stages.get(stage, 0.0))

    def row(self, what: str, clients: int, seconds: float) -> dict[str, Any]:
        """Sum up: percentiles, means of the stages and of what is around them, milliseconds."""
        p50, p95 = np.percentile(self.times, [50, 95])
        stages = {stage: float(np.mean(self.stages[stage])) for stage in STAGES}
        errors = sum(n for status, n in self.statuses.items() if status not in (200, 429))
        return {
            "what": what,
            "clients": clients,
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "per_second": len(self.times) / seconds,
            **stages,
            "around": float(np.mean(self.times)) - sum(stages.values()),
            "refused": self.statuses[429],
            "errors": errors,
        }


def run(
    what: str, ask: Ask, clients: int = 1, *, seconds: float = 1e9, limit: int = 10**9
) -> dict[str, Any]:
    """Let clients ask one request after the other, each its own numbers; wait where they are told.

    Parameters
    ----------
    what : str
        Name of the row.
    ask : callable
        Does a request.
    clients : int
        Threads.
    seconds, limit : float, int
        When it ends: after so long, or so many requests.

    Returns
    -------
    dict
        By `Tally.row`.
    """
    tally, began = Tally(), time.perf_counter()

    def work(first: int) -> None:
        number = first
        while time.perf_counter() < began + seconds and number < limit:
            begin = time.perf_counter()
            answer = ask(number)
            tally.add(answer, 1000 * (time.perf_counter() - begin))
            time.sleep(answer.retry_after_s)
            number += clients

    threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally.row(what, clients, time.perf_counter() - began)
