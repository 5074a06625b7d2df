"""Damaged uploads, whole schemas of nonsense, and versions that change under load."""

import json
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from benchmarks.fuzzing import write_mutated, write_originals
from search.switching import activate_whole
from tests.integration.web.bombs import make_bombs

if TYPE_CHECKING:
    from tests.integration.web.conftest import Site

HOSTILE_UPLOADS = int(os.environ.get("HOSTILE_UPLOADS", "20"))
EXAMPLES = int(os.environ.get("API_EXAMPLES", "6"))  # of each operation
BOMBS_EVERY = 100  # damaged uploads comes another bomb of each kind
SENDERS = 4  # at once
PATIENCE_S = 600 + HOSTILE_UPLOADS  # some ten a second on two cores
GROWTH = 100 << 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.timeout(PATIENCE_S)
def test_hostile_uploads_are_answered_and_leave_nothing(
    site: "Site", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six formats damaged in each way, and bombs; the server's memory and processes are as before.

    What was counted is printed where `HOSTILE_UPLOADS` asks for it.
    """
    originals, bombs = write_originals(tmp_path), make_bombs()

    def send(number: int) -> str:
        file = write_mutated(tmp_path, originals, number, seed=0)
        answer = site.upload(file.read_bytes())
        file.unlink()
        assert answer.status_code in (200, 422), answer.text
        return str(answer.json().get("code", "found"))

    def explode(name: str) -> str:
        answer = site.upload(bombs[name])
        assert answer.status_code == 422, answer.text
        return f"{name}: {answer.json()['code']}"

    server = psutil.Process(site.pid)
    with ThreadPoolExecutor(SENDERS) as senders:
        whole = [*originals.values()] * SENDERS  # what is loaded and allocated once is
        assert {answer.status_code for answer in senders.map(site.upload, whole)} == {200}
        wait_for_workers(server)
        held = server.memory_info().rss
        codes = Counter(senders.map(send, range(HOSTILE_UPLOADS)))
        exploded = Counter(senders.map(explode, [*bombs] * (1 + HOSTILE_UPLOADS // BOMBS_EVERY)))
    wait_for_workers(server)
    grown = server.memory_info().rss - held
    if "HOSTILE_UPLOADS" in os.environ:
        counted = {"damaged": codes, "bombs": exploded, "grown_mb": round(grown / 2**20, 1)}
        with capsys.disabled():
            sys.stdout.write(json.dumps(counted | {"spooled": len(site.spooled)}, indent=2))
    assert codes.total() == HOSTILE_UPLOADS
    assert len(codes) > 1, codes
    assert {"long flac: too_long", "long ogg: too_long", "zeros by gzip: not_audio"} <= {*exploded}
    assert site.spooled == []
    assert grown < GROWTH


def wait_for_workers(server: psutil.Process) -> None:
    """Wait until no upload is being decoded: what decodes ends a moment after its answer."""
    while any(child.children() for child in server.children()):
        time.sleep(0.05)


def test_no_request_that_the_schema_allows_fails(site: "Site") -> None:
    schema = schemathesis.openapi.from_url(f"{site.url}/api/v1/openapi.json")
    tried: Counter[str] = Counter()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(case=operation.as_strategy())
        def check(case: "Case[Any]") -> None:
            case.call_and_validate(checks=CHECKS)
            tried[case.operation.label] += 1

        check()
    assert len(tried) >= 20, tried


def gist(answer: dict[str, Any]) -> list[tuple[str, int, float]]:
    """Tell answers of different versions apart."""
    results = answer["results"]
    return [(r["track_id"], r["start_ms"], round(r["distance"], 4)) for r in results]


class Client(threading.Thread):
    """Asks one search and one upload in turn, and holds each answer against its version's."""

    def __init__(self, site: "Site", track_id: str, done: threading.Event) -> None:
        super().__init__()
        self.site, self.track_id, self.done = site, track_id, done
        self.content = site.file(track_id)
        self.truth = {
            version: [gist(ask(model_version=version)) for ask in (self.search, self.upload)]
            for version in (1, 2)
        }
        self.seen: Counter[int] = Counter()
        self.wrong: list[dict[str, Any]] = []

    def search(self, **pinned: int) -> dict[str, Any]:
        """Search by a segment."""
        return self.site.search(track_id=self.track_id, start_ms=0, k=5, **pinned)

    def upload(self, **pinned: int) -> dict[str, Any]:
        """Search by a file."""
        options = json.dumps({"k": 5} | pinned)
        answer: dict[str, Any] = self.site.upload(self.content, options=options).json()
        return answer

    def run(self) -> None:
        """Ask until it is done."""
        while not self.done.is_set():
            for number, ask in enumerate((self.search, self.upload)):
                answer = ask()
                self.seen[answer["model_version"]] += 1
                if gist(answer) != self.truth[answer["model_version"]][number]:
                    self.wrong.append(answer)


def test_answers_never_mix_versions_while_they_change(site: "Site") -> None:
    done = threading.Event()
    clients = [Client(site, track_id, done) for track_id in site.ids[:4]]
    assert all(client.truth[1] != client.truth[2] for client in clients)
    for client in clients:
        client.start()
    with site.home.database() as database:
        for version in (2, 1, 2, 1):
            activate_whole(database, version)
            before = [client.seen[version] for client in clients]
            while not all(c.seen[version] > n for c, n in zip(clients, before, strict=True)):
                assert all(client.is_alive() for client in clients)
                time.sleep(0.05)
    done.set()
    for client in clients:
        client.join()
    assert not [answer for client in clients for answer in client.wrong]
    seen = sum((client.seen for client in clients), Counter())
    assert {*seen} == {1, 2}


def test_page_goes_on_in_the_version_that_it_began_with(site: "Site") -> None:
    first = site.search(track_id=site.ids[0], start_ms=0, k=5)
    whole = site.search(track_id=site.ids[0], start_ms=0, k=10, model_version=1)
    with site.home.database() as database:
        activate_whole(database, 2)
        try:
            second = site.search(cursor=first["next_cursor"])
            assert second["model_version"] == 1
            assert second["results"] == whole["results"][5:]
            assert site.search(track_id=site.ids[0], start_ms=0)["model_version"] == 2
        finally:
            activate_whole(database, 1)
