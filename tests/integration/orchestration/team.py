"""A team's deployment without containers: the commands of the compose file, on this machine."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import psycopg
import pytest
import yaml
from dagster._daemon.controller import all_daemons_healthy

from cli.readiness import has_definitions
from cli.services import stop
from search.server import server_url
from tests.integration.conftest import PROGRAMS, Home
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
        time.sleep(0.5)


@dataclass
class Team:
    """The processes of a team, on a home of their own."""

    home: Home
    instance: dg.DagsterInstance
    ports: Mapping[str, int]
    variables: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, service: str) -> None:
        """Start a service as the compose file does, but on the loopback and at a free port."""
        with self._log(service).open("wb") as log:
            self.processes[service] = subprocess.Popen(
                self._localise(service, COMPOSE["services"][service]["command"]),
                cwd=ROOT,
                env=self.variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_check(self, service: str) -> "subprocess.Popen[bytes]":
        """Start the health check that the compose file has for a service."""
        _, *command = COMPOSE["services"][service]["healthcheck"]["test"]
        return subprocess.Popen(self._localise(service, command), cwd=ROOT, env=self.variables)

    def is_ready(self) -> bool:
        """Tell whether both pages and the daemon can be used."""
        for service, process in self.processes.items():
            assert process.poll() is None, self._log(service).read_text()
        return all_daemons_healthy(self.instance) and all(
            has_definitions(self.ports[name]) for name in ("webserver", "readonly")
        )

    def refreshes(self) -> list[dg.DagsterRun]:
        """List all refreshes, the latest first."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name="refresh")))

    def _log(self, service: str) -> Path:
        return self.home.root / f"{service}.log"

    def _localise(self, service: str, command: list[str]) -> list[str]:
        """Write a command of the compose file for this machine."""
        own = {"--host=0.0.0.0": "--host=127.0.0.1"}
        ports = (part for part in command if part.startswith("--port="))
        own |= dict.fromkeys(ports, f"--port={self.ports[service]}")
        program, *options = command
        return [str(PROGRAMS / program), *(own.get(part, part) for part in options)]


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
    told = home.root / "refresh.yaml"
    told.write_text(json.dumps(settings))
    settings_file = home.root / "dagster" / "dagster.yaml"
    settings_file.write_text((DEPLOYMENT / "dagster.yaml").read_text())
    ports = {name: free_port() for name in SERVED}
    variables = choose_variables(home, ports["code"]) | {"REFRESH_CONFIG": str(told)}
    with home.database(), pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_POSTGRES_URL", "DAGSTER_LOGS"):
            patch.setenv(name, variables[name])
        with psycopg.connect(variables["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CREATE DATABASE dagster")
        with home.instance() as instance:  # makes its tables once, before four processes would
            team = Team(home, instance, ports, variables)
            try:
                first, *others = SERVED
                team.start(first)  # alone: the others depend on its health
                wait_until(lambda: team.start_check(first).wait() == 0, "a healthy code location")
                for service in others:
                    team.start(service)
                wait_until(team.is_ready, "a team at work")
                yield team
            finally:
                stop(list(team.processes.values()))


def choose_variables(home: Home, code_port: int) -> dict[str, str]:
    """Choose this machine's values of the variables that the compose file gives its services."""
    url = unquote(server_url(home.root / "postgres"))  # Alembic would expand a %
    dagster = url.replace("/postgres?", "/dagster?", 1)
    own = {
        "CODE_HOST": "127.0.0.1",
        "CODE_PORT": str(code_port),
        "DATABASE_URL": url,
        "DAGSTER_POSTGRES_URL": dagster.replace("postgresql://", "postgresql+psycopg2://", 1),
        "DAGSTER_LOGS": str(home.root / "logs"),
    }
    return {**home.variables, **own}
