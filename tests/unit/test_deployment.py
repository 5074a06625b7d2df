"""The team's compose file: valid, complete, on the loopback alone. No container is started."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.binaries import as_ordinary_user, binaries

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == COMPOSE["name"]]
PROGRAMS = Path(sys.executable).parent


def test_compose_file_follows_its_specification() -> None:
    checker = [str(PROGRAMS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*checker, str(FOLDER / "docker-compose.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_services_are_the_parts_of_a_team() -> None:
    assert set(SERVICES) == {
        *("postgres", "mlflow", "code", "webserver", "readonly", "daemon", "search")
    }


def test_every_variable_that_is_asked_for_is_explained() -> None:
    asked = re.findall(r"\$\{(\w+)", (FOLDER / "docker-compose.yaml").read_text())
    explained = re.findall(r"^(\w+)=", (FOLDER / ".env.example").read_text(), re.MULTILINE)
    assert set(asked) == set(explained)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_alone(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_services_tell_whether_they_are_healthy(name: str) -> None:
    service = SERVICES[name]
    kind, program, *options = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert program == "pg_isready" or shutil.which(program, path=str(PROGRAMS))
    listened = [part for part in service.get("command", []) if part.startswith("--port=")]
    for port in (part.removeprefix("--port=") for part in listened):
        assert any(port in option for option in options), "it asks where the service listens"
    for other, condition in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert condition == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_commands_and_files_exist(name: str) -> None:
    program, *options = SERVICES[name]["command"]
    assert (PROGRAMS / program).exists()
    for option in options:
        if option.startswith("--workspace="):
            assert (ROOT / option.removeprefix("--workspace=")).is_file()


@pytest.mark.parametrize("name", OURS)
def test_service_keeps_its_state_in_volumes(name: str) -> None:
    mounted = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
    assert "data" in mounted
    assert "data" in COMPOSE["volumes"]


def test_addresses_name_services_and_their_ports() -> None:
    text = (FOLDER / "docker-compose.yaml").read_text()
    found = set(re.findall(r"(?:@|http://)([a-z]+):(\d+)", text)) - {("localhost", "3000")}
    served = {
        (name, part.removeprefix("--port="))
        for name, service in SERVICES.items()
        for part in service.get("command", [])
        if part.startswith("--port=")
    }
    assert {address for address in found if address[0] != "localhost"} <= served | {
        ("postgres", "5432")
    }
    code = SERVICES["daemon"]["environment"]
    assert (code["CODE_HOST"], code["CODE_PORT"]) in served


@pytest.mark.parametrize("set_to", ["", "512MB"])
def test_postgres_takes_its_settings(set_to: str, tmp_path: Path) -> None:
    program, *options = SERVICES["postgres"]["command"]
    options = [re.sub(r"\$\{\w+:-(\w+)\}", set_to or r"\1", option) for option in options]
    (tmp_path / "PG_VERSION").write_text("18\n")
    (tmp_path / "postgresql.conf").touch()
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [
            *as_ordinary_user(),
            str(binaries() / program),
            *options,
            "-D",
            str(tmp_path),
            "-C",
            "shared_buffers",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 8192 == (512 if set_to else 2048) * 2**20


def test_postgres_can_share_the_largest_graph() -> None:
    cache = 4 * 2**30  # Postgres's default of effective_cache_size, of which a graph may take half
    options = "".join(SERVICES["postgres"]["command"])
    assert "effective_cache_size" not in options
    shared = re.fullmatch(r"(\d+)gb", SERVICES["postgres"]["shm_size"])
    assert shared
    assert cache / 2 < int(shared[1]) * 2**30


def test_files_that_the_image_is_made_of_exist() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE)
        for source in line.split()
    ]
    assert copied
    assert all((ROOT / source).exists() for source in copied)
    assert (ROOT / "deploy/dagster.yaml").is_file()
    assert "deploy/dagster.yaml" in text
    assert re.search(r"^USER (?!root)", text, re.MULTILINE), "nothing runs as root"
    pinned = re.findall(r"^UV := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"uv==(\S+)", text) == pinned


def test_team_runs_by_the_settings_of_a_person_but_for_where_things_are_kept() -> None:
    person, team = (
        yaml.safe_load(path.read_text())
        for path in (ROOT / "dagster.yaml", FOLDER / "dagster.yaml")
    )
    assert set(team) - set(person) == {"storage", "compute_logs"}
    team["run_monitoring"].pop("max_runtime_seconds")
    assert {name: team[name] for name in person} == person


def test_variables_of_the_instance_are_set_for_those_who_open_it() -> None:
    named = set(re.findall(r"env: (\w+)", (FOLDER / "dagster.yaml").read_text()))
    named |= set(re.findall(r"env: (\w+)", (FOLDER / "workspace.yaml").read_text()))
    in_image = set(re.findall(r"(\w+)=/", (FOLDER / "Dockerfile").read_text()))
    for name in ("code", "webserver", "readonly", "daemon"):
        assert named <= set(SERVICES[name]["environment"]) | in_image
