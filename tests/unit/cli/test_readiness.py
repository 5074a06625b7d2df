"""What a served page is asked before people are sent to it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.readiness import has_definitions, listens
from ml.errors import SoundalikeError

LOADED: dict[str, object] = {
    "loadStatus": "LOADED",
    "locationOrLoadError": {"__typename": "RepositoryLocation"},
}
LOADING: dict[str, object] = {"loadStatus": "LOADING", "locationOrLoadError": None}
FAILED: dict[str, object] = {
    "loadStatus": "LOADED",
    "locationOrLoadError": {"__typename": "PythonError", "message": "no module named x\n"},
}


@contextmanager
def answering(entries: list[dict[str, object]]) -> Iterator[int]:
    """Serve a GraphQL answer with these entries."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
            assert "locationEntries" in query
            body = json.dumps({"data": {"workspaceOrError": {"locationEntries": entries}}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("entries", "ready"), [([LOADED], True), ([LOADED, LOADING], False), ([], False)]
)
def test_definitions_are_there_once_every_location_is(
    entries: list[dict[str, object]], ready: bool
) -> None:
    with answering(entries) as port:
        assert listens(port)
        assert has_definitions(port) is ready


def test_definitions_that_do_not_load_are_an_error() -> None:
    with (
        answering([FAILED]) as port,
        pytest.raises(SoundalikeError, match=r"definitions: no module named x$"),
    ):
        has_definitions(port)


def test_nothing_is_ready_where_nothing_listens() -> None:
    with answering([]) as port:
        pass
    assert not listens(port)
    assert not has_definitions(port)
