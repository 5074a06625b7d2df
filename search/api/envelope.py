"""Around every answer: request id, a line of the log, its time; and an answer to what failed."""

import logging
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from search.api.metrics import Metrics
from search.api.problems import Problem

logger = logging.getLogger("search.requests")

HUNG_UP = 499
"""Nobody gets this status: in the log and in the metrics it says that the caller went away."""


class Envelope:
    """Wraps an application.

    Parameters
    ----------
    app : ASGIApp
        What answers.
    metrics : Metrics
        Gets each request's time.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        try:
            await self.app(scope, receive, send_enveloped)
        except ClientDisconnect:
            status = HUNG_UP
        except Exception:
            if status:  # part of the answer is out: only the connection can tell
                raise
            logger.exception("failed", extra={"facts": {"request_id": request_id}})
            await _failure(request_id).response(scope["path"])(scope, receive, send_enveloped)
        finally:
            self._note(scope, status or 500, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(scope["method"], route, status).observe(seconds)
        facts = {
            "request_id": scope["state"]["request_id"],
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(1000 * seconds, 1),
            "who": scope["state"].get("identity"),
        }
        logger.info("request", extra={"facts": facts})


def _request_id(proposed: str | None) -> str:
    """Keep a proxy's id, if it looks like one."""
    if proposed and len(proposed) <= 64 and proposed.replace("-", "").isalnum():
        return proposed
    return uuid.uuid4().hex


def _failure(request_id: str) -> Problem:
    told = f"The server failed: try again, and if it stays so, report the request {request_id}."
    return Problem(500, "internal_error", told)
