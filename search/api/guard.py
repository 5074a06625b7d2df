"""What every request passes before any of its body is read: who asks, from where, and how much.

Pure ASGI, because a framework's dependencies run after the body was read.
"""

import asyncio
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api.problems import Problem
from search.settings import WebSettings
from search.tokens import Role, TokenFile

COOKIE = "soundalike_token"
SESSION_PATH = "/api/v1/session"
PREFIX = "/api/"
OPEN_PATHS = ("/", "/healthz", "/readyz", "/favicon.ico", SESSION_PATH)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MULTIPART_SLACK = 64 * 1024


class Guard:
    """Lets a request through, or answers it with a problem.

    Parameters
    ----------
    app : ASGIApp
        What is guarded.
    settings : WebSettings
        Limits.
    tokens : TokenFile or None
        Who may enter; without it only programs and pages of this machine.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings, tokens: TokenFile | None) -> None:
        self.app, self.settings, self.tokens = app, settings, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on with a body that is counted while it comes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            scope.setdefault("state", {})["role"] = self._identify(scope, headers)
            _check_origin(scope["method"], headers)
            body = _Body(receive, self._allowed(headers), self.settings)
            body.check_length(headers.get("content-length"))
        except Problem as problem:
            if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
                problem.headers["Connection"] = "close"  # nobody will read what is still to come
            await problem.response(scope["path"])(scope, receive, send)
            return
        await self.app(scope, body, send)

    def _identify(self, scope: Scope, headers: Headers) -> Role | None:
        if self.tokens is None:
            _check_host(headers)
            return "admin"
        identity = self.tokens.identify(token) if (token := find_token(headers)) else None
        path = scope["path"]
        if identity is None and path not in OPEN_PATHS and not path.startswith("/static/"):
            raise Problem(
                401,
                "token_needed",
                "A valid token is needed: send it as `Authorization: Bearer TOKEN`, or sign in.",
                {"WWW-Authenticate": "Bearer"},
            )
        if identity is not None:
            scope["state"]["identity"] = identity.name
        return identity.role if identity else None

    def _allowed(self, headers: Headers) -> int:
        if headers.get("content-type", "").lower().startswith("multipart/"):
            return self.settings.max_upload_bytes + _MULTIPART_SLACK
        return self.settings.max_json_bytes


class _Body:
    """A request's body, counted before anybody keeps it, and cut off when it comes too slowly."""

    def __init__(self, receive: Receive, allowed: int, settings: WebSettings) -> None:
        self.receive, self.allowed, self.settings = receive, allowed, settings
        self.came, self.whole = 0, False
        self.began = time.monotonic()

    def check_length(self, announced: str | None) -> None:
        """Refuse a body that is announced as too large."""
        if announced is not None and announced.isdecimal() and int(announced) > self.allowed:
            raise self._too_large()

    async def __call__(self) -> Message:
        """Receive the next part."""
        if self.whole:  # what comes now is the end of the connection, whenever that is
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), self.settings.idle_seconds)
        except TimeoutError:
            raise self._too_slow() from None
        if message["type"] != "http.request":
            return message
        self.came += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self.came > self.allowed:
            raise self._too_large()
        spent = time.monotonic() - self.began - self.settings.grace_seconds
        if not self.whole and spent * self.settings.least_bytes_per_second > self.came:
            raise self._too_slow()
        return message

    def _too_large(self) -> Problem:
        limit = f"{self.allowed / (1 << 20):.0f} MB" if self.allowed >= 1 << 20 else "64 kB"
        return Problem(
            413,
            "too_many_bytes",
            f"The request is larger than {limit}: send a shorter cut, or compress it.",
            {"Connection": "close"},
        )

    def _too_slow(self) -> Problem:
        return Problem(
            408,
            "too_slow",
            "The request came too slowly: send it again over a better connection.",
            {"Connection": "close"},
        )


def find_token(headers: Headers) -> str | None:
    """Find the token that a request carries, as a header or as the page's cookie."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if token:
        return token.strip() if scheme.lower() == "bearer" else None
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _check_host(headers: Headers) -> None:
    """Without tokens, a foreign name for this machine is an attack (DNS rebinding)."""
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        name = None
    if name not in LOOPBACK:
        raise Problem(
            400,
            "host_not_allowed",
            "Without tokens this server answers to localhost alone: use that, or set "
            "API_TOKENS_FILE.",
        )


def _check_origin(method: str, headers: Headers) -> None:
    """Refuse what another site's page makes a browser send (CSRF); programs send neither header."""
    if method in SAFE_METHODS or headers.get("authorization"):
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    try:
        foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
    except ValueError:
        foreign = True
    if (site is not None and site not in ("same-origin", "none")) or foreign:
        raise Problem(
            403, "foreign_origin", "Another site's page sent this: use this server's own page."
        )
