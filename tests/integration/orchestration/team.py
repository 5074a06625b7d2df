"""A team's deployment without containers: the commands of the compose file, on this machine."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pytest
import yaml
from dagster._daemon.controller import all_daemons_healthy

from cli.readiness import has_definitions
from search.server import server_url
from tests.integration.conftest import PROGRAMS, Home
from tests.integration.orchestration.logs import Run, read_runs
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
DEPLOYMENT = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENT / "docker-compose.yaml").read_text())
SERVED = ("code", "webserver", "readonly", "daemon")
SECONDS = 400


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait; how long things take is not tested."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.1)


@dataclass
class Team:
    """The processes of a team, on a home of their own."""

    home: Home
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in SERVED})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Of the page that may launch."""
        return self.ports["webserver"]

    @property
    def dagster_folder(self) -> Path:
        """DAGSTER_HOME."""
        return self.home.root / "dagster"

    def variables(self, settings: Path) -> dict[str, str]:
        """Take the variables that the compose file gives its services, with this machine's values.

        Parameters
        ----------
        settings : Path
            REFRESH_CONFIG.
        """
        url = unquote(server_url(self.home.root / "postgres"))  # Alembic would expand a %
        driver = url.replace("postgresql://", "postgresql+psycopg2://", 1)
        own = {
            "CODE_HOST": "127.0.0.1",
            "CODE_PORT": str(self.ports["code"]),
            "DATABASE_URL": url,
            "DAGSTER_POSTGRES_URL": driver.replace("/postgres?", "/dagster?", 1),
            "DAGSTER_LOGS": str(self.home.root / "logs"),
            "REFRESH_CONFIG": str(settings),
        }
        return {**self.home.variables, **own}

    def start(self, service: str, variables: Mapping[str, str]) -> None:
        """Start a service as the compose file does, but on the loopback and at a free port."""
        with (self.home.root / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                self.localise(service, COMPOSE["services"][service]["command"]),
                cwd=ROOT,
                env=dict(variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def localise(self, service: str, command: list[str]) -> list[str]:
        """Write a command of the compose file for this machine."""
        own = {"--host=0.0.0.0": "--host=127.0.0.1"}
        ports = (part for part in command if part.startswith("--port="))
        own |= dict.fromkeys(ports, f"--port={self.ports[service]}")
        program, *options = command
        return [str(PROGRAMS / program), *(own.get(part, part) for part in options)]

    def check(self, service: str, variables: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the health check that the compose file has for a service."""
        _, *command = COMPOSE["services"][service]["healthcheck"]["test"]
        return subprocess.Popen(self.localise(service, command), cwd=ROOT, env=dict(variables))

    def is_ready(self) -> bool:
        """Tell whether both pages and the daemon can be used."""
        for service, process in self.processes.items():
            log = self.home.root / f"{service}.log"
            assert process.poll() is None, log.read_text()
        with self.home.instance() as instance:
            alive = all_daemons_healthy(instance)
        return alive and all(
            has_definitions(self.ports[name]) for name in ("webserver", "readonly")
        )

    def stop(self) -> None:
        """End every process and its children."""
        for process in reversed(self.processes.values()):
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def refreshes(self) -> list[Run]:
        """Read the logs of all refreshes, the latest first."""
        return [run for run in read_runs(self.home) if run.record.job_name == "refresh"]


@contextmanager
def working(home: Home, settings: Mapping[str, object]) -> Iterator[Team]:
    """Have a team's processes at work on a home, until the end of the block.

    Parameters
    ----------
    home : Home
        Whose embedded Postgres serves as the team's; its Dagster instance is replaced.
    settings : mapping
        Run configuration of every refresh.
    """
    team = Team(home)
    told = home.root / "refresh.yaml"
    told.write_text(json.dumps(settings))
    variables = team.variables(told)
    (team.dagster_folder / "dagster.yaml").write_text((DEPLOYMENT / "dagster.yaml").read_text())
    with home.database(), pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_POSTGRES_URL", "DAGSTER_LOGS"):
            patch.setenv(name, variables[name])
        with psycopg.connect(variables["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CREATE DATABASE dagster")
        home.instance().dispose()  # makes its tables once, before four processes would
        try:
            for service in SERVED:
                team.start(service, variables)
            wait_until(team.is_ready, "a team at work")
            yield team
        finally:
            team.stop()
