"""Serve the web pages on this machine: Dagster (webserver and daemon), MLflow and search."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Annotated

import typer

from cli.output import console
from cli.readiness import HOST, has_definitions, listens
from cli.watching import SCHEDULE, SENSOR, watch_catalogue
from ml.environment import Environment
from ml.errors import SoundalikeError

DAGSTER_PORT, MLFLOW_PORT, SEARCH_PORT = 3000, 5000, 8000
WORKSPACE_FILE = Path(__file__).parents[1] / "workspace.yaml"
START_SECONDS, STOP_SECONDS = 180, 20
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Spares eight processes of 250 MB each that MLflow would start for jobs that nobody gives it."""


@dataclass(frozen=True)
class Service:
    """A process to keep running.

    Parameters
    ----------
    name : str
        Also names its log.
    command : tuple of str
        Arguments of the process.
    port : int or None
        Where it listens, if it does.
    is_ready : callable
        Tells of the port whether what is behind it can be used.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    is_ready: Callable[[int], bool] = listens


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(dev)


def dev(
    dagster_port: Annotated[int, typer.Option(help="Port of the Dagster page.")] = DAGSTER_PORT,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = MLFLOW_PORT,
    search_port: Annotated[int, typer.Option(help="Port of the search page.")] = SEARCH_PORT,
) -> None:
    """Serve the Dagster, MLflow and search pages until Ctrl-C."""
    from ml.registry import Registry
    from orchestration.launch import prepare_instance
    from search.database import open_database

    environment = Environment()
    prepare_instance(environment)
    # What these services run links to the pages beside them, unless others are named.
    if not environment.mlflow_tracking_uri.startswith("http"):
        os.environ.setdefault("MLFLOW_PAGE", f"http://{HOST}:{mlflow_port}")
    os.environ.setdefault("SEARCH_PAGE", f"http://{HOST}:{search_port}")
    services = _list_services(environment, dagster_port, mlflow_port, search_port)
    _require_free_ports(services)
    Registry.open(environment)
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        serve(services, environment.root / "logs", lambda: _watch(dagster_port))


def _watch(port: int) -> None:
    watch_catalogue(port)
    console.print(
        f"The catalogue is watched: what changes in it is run. Switch {SENSOR} and {SCHEDULE} off "
        "in the Dagster page (Automation) to decide by yourself."
    )


def serve(services: list[Service], logs: Path, then: Callable[[], None] = lambda: None) -> None:
    """Start services, say where they are, and stop them all on Ctrl-C or when one ends.

    Parameters
    ----------
    services : list of Service
        To start.
    logs : Path
        Folder for what they print.
    then : callable
        What to do once they are ready.

    Raises
    ------
    SoundalikeError
        A service ended by itself, or did not start.
    """
    logs.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    processes: dict[Service, subprocess.Popen[bytes]] = {}
    try:
        for service in services:
            with (logs / f"{service.name}.log").open("ab") as log:
                processes[service] = _start(service, log, os.environ)
        _wait_until_ready(processes, logs)
        for service in services:
            if service.port:
                console.print(f"{service.name:>8}  http://{HOST}:{service.port}")
        then()
        console.print(f"Logs are in {logs}. Ctrl-C stops everything.")
        while True:
            _require_running(processes, logs)
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping ...")
    finally:
        stop(list(processes.values()))
    console.print("Stopped.")


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and their children: politely first, by force after a while."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _list_services(
    environment: Environment, dagster: int, mlflow: int, search: int
) -> list[Service]:
    programs = Path(sys.executable).parent
    workspace = ("-w", str(WORKSPACE_FILE))
    webserver = (str(programs / "dagster-webserver"), *workspace, "-h", HOST)
    artifacts = (environment.root / "mlflow" / "artifacts").as_uri()
    return [
        Service("dagster", (*webserver, "-p", str(dagster)), dagster, has_definitions),
        Service("daemon", (str(programs / "dagster-daemon"), "run", *workspace)),
        Service(
            "mlflow",
            (
                *(str(programs / "mlflow"), "server", "--workers", "1"),
                *("--backend-store-uri", environment.tracking_uri),
                *("--artifacts-destination", artifacts),
                *("--host", HOST, "--port", str(mlflow)),
            ),
            mlflow,
        ),
        Service("search", (str(programs / "soundalike"), "serve", "--port", str(search)), search),
    ]


def _start(
    service: Service, log: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches only us, and we end each group in turn.
    return subprocess.Popen(  # noqa: S603
        service.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**LEAN, **environment, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def _wait_until_ready(processes: Mapping[Service, subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = list(processes)
    with console.status("Starting"):
        while waiting := [s for s in waiting if s.port and not s.is_ready(s.port)]:
            _require_running(processes, logs)
            if time.monotonic() > deadline:
                raise SoundalikeError(f"{waiting[0].name} does not start: read {logs}.")
            time.sleep(0.3)


def _require_running(processes: Mapping[Service, subprocess.Popen[bytes]], logs: Path) -> None:
    for service, process in processes.items():
        if process.poll() is not None:
            raise SoundalikeError(
                f"{service.name} ended by itself: read {logs / service.name}.log, then start again."
            )


def _require_free_ports(services: list[Service]) -> None:
    for service in services:
        if service.port and listens(service.port):
            raise SoundalikeError(
                f"Port {service.port} is taken by another program: stop it, "
                f"then serve {service.name} again."
            )


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
