"""Whether a page that is served can be used yet: a port may answer before what is behind it."""

import json
import socket
from typing import Any
from urllib.request import Request, urlopen

from ml.errors import SoundalikeError

HOST = "127.0.0.1"
SECONDS = 10

LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { loadStatus
locationOrLoadError { __typename ... on PythonError { message } } } } } }"""


def listens(port: int) -> bool:
    """Tell whether a program of this machine accepts connections at a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def ask_dagster(port: int, query: str) -> dict[str, Any]:
    """Ask the Dagster page at a port in GraphQL.

    Raises
    ------
    OSError
        It does not answer yet.
    """
    body = json.dumps({"query": query}).encode()
    request = Request(f"http://{HOST}:{port}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        data: dict[str, Any] = json.load(answer)["data"]
    return data


def has_definitions(port: int) -> bool:
    """Tell whether the Dagster page at a port has loaded our assets and jobs.

    Before that it opens, but says of each of them that it does not exist.

    Raises
    ------
    SoundalikeError
        They could not be loaded.
    """
    try:
        entries = ask_dagster(port, LOCATIONS)["workspaceOrError"].get("locationEntries", [])
    except OSError:
        return False
    for entry in entries:
        found = entry["locationOrLoadError"] or {}
        if message := found.get("message"):
            raise SoundalikeError(f"Dagster could not load the definitions: {message.strip()}")
    return bool(entries) and all(
        entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"] for entry in entries
    )
