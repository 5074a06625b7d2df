"""Run the web application under uvicorn, patient neither with slow clients nor with too many."""

import asyncio
import contextlib
import ipaddress
import signal
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml.errors import SoundalikeError
from search.api.headers import HEADERS
from search.api.logs import log_as_json
from search.api.services import Services

CONNECTIONS = 200


class PunctualProtocol(HttpToolsProtocol):
    """Closes a connection whose next request does not begin in time (slow loris)."""

    patience_s = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (asyncio's transports)
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop waiting once the head of a request is whole, begin again after its answer."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.patience_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def run(app: FastAPI, host: str, port: int) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    app : FastAPI
        By `search.app.create_app`.
    host : str
        Address to bind to.
    port : int
        Of TCP.

    Raises
    ------
    SoundalikeError
        The address is not this machine's alone, and there are no tokens.
    """
    services: Services = app.state.services
    if services.tokens is None and not is_loopback(host):
        raise SoundalikeError(
            f"Without tokens everyone who reaches {host} could listen: make some with `soundalike "
            "token new NAME` and set API_TOKENS_FILE, or serve on 127.0.0.1."
        )
    log_as_json()
    PunctualProtocol.patience_s = services.settings.header_seconds
    # It ends by raising the signal again: a service's end (SIGTERM) is as orderly as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        make_server(app, host, port).run()


def make_server(
    app: FastAPI, host: str, port: int, connections: int = CONNECTIONS
) -> uvicorn.Server:
    """Make what `run` runs; beyond so many connections at once, requests get 503."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=PunctualProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        server_header=False,
        headers=list(HEADERS.items()),
        limit_concurrency=connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
