"""What the server refuses: strangers, other sites' pages, too much, too slowly, too many."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from search.tokens import ROLES, add_token
from tests.integration.web.conftest import Site, serve

if TYPE_CHECKING:
    from tests.integration.conftest import Home


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokens") / "tokens"


@pytest.fixture(scope="module")
def tokens(token_file: Path) -> dict[str, str]:
    """Make a token of each role."""
    made: dict[str, str] = {}
    for role in ROLES:
        made[role] = add_token(token_file, f"someone who may {role}", role)
    return made


@pytest.fixture(scope="module")
def guarded(
    stocked: "Home",
    token_file: Path,
    tokens: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Serve with tokens, and without patience."""
    assert tokens
    impatient = {
        "API_TOKENS_FILE": str(token_file),
        "API_IDLE_SECONDS": "3",
        "API_HEADER_SECONDS": "2",
        "API_UPLOADS_AT_ONCE": "1",
        "API_MAX_UPLOAD_BYTES": "1000000",
    }
    with serve(stocked, tmp_path_factory.mktemp("guarded"), **impatient) as site:
        yield site


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_strangers_see_health_and_nothing_else(guarded: Site) -> None:
    addresses = (
        "/tracks",
        "/facets",
        "/map",
        "/openapi.json",
        "/studies",
        "/tracks/tone_000/audio",
    )
    for address in addresses:
        answer = guarded.ask("GET", address)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_needed"), address
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.ask("GET", "/tracks", headers=bearer("wrong")).status_code == 401
    assert requests.get(f"{guarded.url}/metrics", timeout=10).status_code == 401
    assert requests.get(f"{guarded.url}/healthz", timeout=10).status_code == 200
    assert guarded.ask("GET", "/session").json() == {"authentication": True, "role": None}


def test_roles_may_what_is_theirs(guarded: Site, tokens: dict[str, str]) -> None:
    study = {"name": "x", "systems": ["random"]}
    expected = {"listen": (200, 403, 403), "rate": (200, 200, 403), "admin": (200, 200, 201)}
    for role, statuses in expected.items():
        headers = bearer(tokens[role])
        assert guarded.ask("GET", "/tracks", headers=headers).status_code == statuses[0]
        assert guarded.ask("GET", "/studies", headers=headers).status_code == statuses[1]
        made = guarded.ask("POST", "/studies", headers=headers, json=study)
        assert made.status_code == statuses[2]


def test_page_keeps_its_token_where_scripts_cannot_read_it(
    guarded: Site, tokens: dict[str, str]
) -> None:
    browser = requests.Session()
    address = f"{guarded.url}/api/v1/session"
    assert browser.post(address, json={"token": "wrong"}, timeout=10).status_code == 401
    signed = browser.post(address, json={"token": tokens["rate"]}, timeout=10)
    assert signed.json() == {"authentication": True, "role": "rate"}
    cookie = signed.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert browser.get(f"{guarded.url}/api/v1/tracks", timeout=10).status_code == 200
    assert browser.delete(address, timeout=10).status_code == 204
    assert browser.get(f"{guarded.url}/api/v1/tracks", timeout=10).status_code == 401


def test_other_sites_pages_are_refused(guarded: Site, site: Site, tokens: dict[str, str]) -> None:
    cookies = {"soundalike_token": tokens["admin"]}
    wanted = {"track_id": site.ids[0], "start_ms": 0}
    foreign = ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"})
    for headers in foreign:
        for served, sent in ((guarded, cookies), (site, {})):
            answer = served.ask("POST", "/searches", json=wanted, headers=headers, cookies=sent)
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    own = {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}
    answer = guarded.ask("POST", "/searches", json=wanted, headers=own, cookies=cookies)
    assert answer.status_code == 200


def test_foreign_names_are_refused_without_tokens(site: Site) -> None:
    answer = site.ask("GET", "/tracks", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "host_not_allowed")


def test_token_that_is_struck_off_lets_nobody_in(guarded: Site, token_file: Path) -> None:
    token = add_token(token_file, "for an hour", "listen")
    assert guarded.ask("GET", "/tracks", headers=bearer(token)).status_code == 200
    lines = token_file.read_text().splitlines()
    token_file.write_text("\n".join(lines[:-1]) + "\n")
    assert guarded.ask("GET", "/tracks", headers=bearer(token)).status_code == 401


def test_log_has_request_ids_and_no_tokens(guarded: Site, tokens: dict[str, str]) -> None:
    headers = bearer(tokens["listen"]) | {"X-Request-Id": "from-a-proxy-1"}
    guarded.ask("GET", "/facets", headers=headers)
    while "from-a-proxy-1" not in (text := guarded.log.read_text()):
        time.sleep(0.05)  # it is written once the answer is out
    lines = [json.loads(line) for line in text.splitlines()]
    line = next(line for line in lines if line.get("request_id") == "from-a-proxy-1")
    assert (line["path"], line["status"]) == ("/api/v1/facets", 200)
    assert line["who"] == "someone who may listen"
    assert tokens["listen"] not in text


def talk(site: Site, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts over a bare connection; what comes back until it is closed."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                threading.Event().wait(pause)
        except OSError:
            pass  # it was closed in our face, as it should be
        answer = b""
        try:
            while received := connection.recv(65536):
                answer += received
        except ConnectionResetError:
            pass
    return answer


def head(token: str, *lines: str) -> bytes:
    """Write the head of an upload."""
    fixed = ("POST /api/v1/searches HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}")
    form = "Content-Type: multipart/form-data; boundary=b"
    return "\r\n".join((*fixed, form, *lines, "", "")).encode()


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


def test_body_announced_as_too_large_is_not_awaited(guarded: Site, tokens: dict[str, str]) -> None:
    answer = talk(guarded, head(tokens["listen"], "Content-Length: 999999999"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too_many_bytes" in answer


def test_body_that_grows_too_large_is_cut_off(guarded: Site, tokens: dict[str, str]) -> None:
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    beginning = f"{len(PART):x}\r\n".encode() + PART + b"\r\n"
    start = head(tokens["listen"], "Transfer-Encoding: chunked")
    answer = talk(guarded, start, beginning, *[chunk] * 64)
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    assert not guarded.spooled


def test_stranger_is_refused_before_the_body_comes(guarded: Site) -> None:
    answer = talk(guarded, head("wrong", "Content-Length: 500000"))
    assert answer.startswith(b"HTTP/1.1 401")


def test_slow_body_is_cut_off(guarded: Site, tokens: dict[str, str]) -> None:
    answer = talk(guarded, head(tokens["listen"], "Content-Length: 500000"), PART)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in answer


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_slow_head_is_cut_off(guarded: Site, sent: bytes) -> None:
    assert talk(guarded, sent) == b""  # closed by the server; `talk` would time out otherwise


def test_uploads_beyond_the_limit_are_told_when_to_return(
    guarded: Site, tokens: dict[str, str]
) -> None:
    content = guarded.file("tone_000")
    answers: list[requests.Response] = []

    def upload() -> None:
        files = {"file": ("music", content)}
        headers = bearer(tokens["listen"])
        answers.append(guarded.ask("POST", "/searches", headers=headers, files=files))

    statuses: Counter[int] = Counter()
    while 429 not in statuses:  # on a busy machine one may be done before the next comes
        threads = [threading.Thread(target=upload) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}, statuses
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "2"
    assert refused.json()["code"] == "busy"


def test_serving_to_others_without_tokens_is_refused(stocked: "Home") -> None:
    command: list[str | Path] = [
        Path(sys.executable).parent / "soundalike",
        "serve",
        "--host",
        "0.0.0.0",
    ]
    refused = subprocess.run(
        command, env=stocked.variables, capture_output=True, text=True, timeout=120
    )
    assert refused.returncode == 1
    assert "soundalike token new" in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
