"""What every answer carries: also what fails unforeseen, and what the server refuses by itself."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from ml.errors import RegistryError
from ml.registry import Registry
from search.api.envelope import HUNG_UP
from search.api.headers import HEADERS
from search.app import create_app
from search.database import Database
from search.encoding import Encoders
from search.serving import make_server
from tests.ports import free_port

CONNECTIONS = 4
RARE = "The lamp is out."


def no_registry() -> Registry:
    raise RegistryError("There is none: this server has no model.")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve without a database, and with an address that fails as nobody foresaw."""
    database = Database("postgresql://127.0.0.1:1/nothing")
    app = create_app(database, Encoders(database, no_registry))

    @app.get("/api/v1/broken")
    def fail() -> None:
        raise LookupError(RARE)

    port = free_port()
    server = make_server(app, "127.0.0.1", port, CONNECTIONS)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


def require_caution(answer: requests.Response) -> None:
    """Each header, once."""
    for name, value in HEADERS.items():
        assert answer.headers[name] == value, name


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/", 200),
        ("/healthz", 200),
        ("/readyz", 503),
        ("/static/js/main.js", 200),
        ("/static/js/none.js", 404),
        ("/api/v1/facets", 503),
        ("/api/v1/nothing", 404),
        ("/api/v1/broken", 500),
    ],
)
def test_every_answer_is_cautious(port: int, address: str, status: int) -> None:
    answer = requests.get(f"http://127.0.0.1:{port}{address}", timeout=10)
    assert answer.status_code == status
    require_caution(answer)
    assert len(answer.headers["X-Request-Id"]) == 32
    if status == 404 or address.startswith("/api/"):
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_policy_lets_no_script_and_no_style_be_inline() -> None:
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_unforeseen_failure_can_be_reported(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "search.requests"):
        answer = requests.get(f"http://127.0.0.1:{port}/api/v1/broken", timeout=10)
    problem = answer.json()
    assert problem["code"] == "internal_error"
    assert answer.headers["X-Request-Id"] in problem["detail"]
    assert RARE not in answer.text  # what failed is the operator's business alone
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert RARE in str(record.exc_info)
    assert json.dumps(record.__dict__["facts"]).count(answer.headers["X-Request-Id"]) == 1


def test_caller_who_hangs_up_is_no_failure(port: int, caplog: pytest.LogCaptureFixture) -> None:
    head = "POST /api/v1/searches HTTP/1.1", "Host: localhost", "Content-Length: 9999"
    form = "Content-Type: multipart/form-data; boundary=b"
    with caplog.at_level(logging.INFO, "search.requests"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall("\r\n".join((*head, form, "", "--b")).encode())
        while not (found := [r for r in caplog.records if asks_for(r, "/api/v1/searches")]):
            time.sleep(0.01)
    (record,) = found
    assert (record.levelname, record.__dict__["facts"]["status"]) == ("INFO", HUNG_UP)


def asks_for(record: logging.LogRecord, path: str) -> bool:
    """Tell whether it is about that; what was asked for before may be noted only now."""
    facts = record.__dict__.get("facts", {})
    return bool(facts.get("path") == path)


def talk(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer


def test_what_is_no_http_is_refused_with_caution(port: int) -> None:
    answer = talk(port, b"hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    for name, value in HEADERS.items():
        assert f"{name}: {value}\r\n".lower().encode() in answer.lower()


def test_one_connection_too_many_is_refused_with_caution(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10)
    finally:
        for connection in held:
            connection.close()
    assert answer.status_code == 503
    require_caution(answer)
