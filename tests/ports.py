"""Ports for the servers that tests start."""

import socket


def free_port() -> int:
    """Find a port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
