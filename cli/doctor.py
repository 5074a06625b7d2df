"""The command that looks whether everything is in place: a line each, ok or what to do."""

import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.output import console, print_json
from ml.environment import Environment
from ml.errors import DatabaseError, SoundalikeError
from ml.workspace import Workspace

if TYPE_CHECKING:
    from dagster import DagsterInstance

MIN_FREE_GB = 5.0
MIN_MEMORY_GB = 4.0
HEARTBEAT_SECONDS = 120
PACKAGES = ("torch", "dagster", "mlflow", "psycopg")
Check = Callable[[Environment], str]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Parameters
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether it is in order.
    detail : str
        What there is, or what to do.
    """

    name: str
    ok: bool
    detail: str


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(doctor)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Look whether everything is in place; changes nothing, and fails if something is not."""
    findings = []
    for finding in examine(Environment()):
        findings.append(finding)
        if not json:
            mark = "[green]ok[/green]  " if finding.ok else "[red]todo[/red]"
            console.print(f"{mark}  {finding.name:<10}  {escape(finding.detail)}")
    if json:
        print_json([asdict(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def examine(environment: Environment) -> Iterator[Finding]:
    """Make every check, in the order in which one would mend things.

    Parameters
    ----------
    environment : Environment
        Whose state is looked at.

    Yields
    ------
    Finding
    """
    for name, check in CHECKS.items():
        try:
            yield Finding(name, ok=True, detail=check(environment))
        except SoundalikeError as error:
            yield Finding(name, ok=False, detail=str(error))


def check_versions(environment: Environment) -> str:  # noqa: ARG001
    """See that Python is the one that everything is pinned for."""
    if sys.version_info[:2] != (3, 11):
        raise SoundalikeError(
            f"Python {platform.python_version()} is not 3.11: make .venv anew with `make setup`."
        )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {packages}"


def check_disk(environment: Environment) -> str:
    """See that there is room under `DATA_DIR`."""
    root = environment.root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        raise SoundalikeError(f"{existing} cannot be written: make it so, or set DATA_DIR.")
    free = shutil.disk_usage(existing).free / 1e9
    if free < MIN_FREE_GB:
        raise SoundalikeError(
            f"{free:.1f} GB are free at {existing}, some 8 MB a track are needed: free some, or "
            "set DATA_DIR to a larger disk."
        )
    return f"{free:,.0f} GB free at {existing}"


def check_memory(environment: Environment) -> str:  # noqa: ARG001
    """See that there is memory to train in."""
    from search.machine import usable_memory

    total = usable_memory() / 1e9
    if total < MIN_MEMORY_GB:
        raise SoundalikeError(
            f"{total:.1f} GB of memory are too few to train in: use a machine with at least "
            f"{MIN_MEMORY_GB:.0f}."
        )
    return f"{total:.0f} GB, {os.cpu_count()} cores"


def check_database(environment: Environment) -> str:
    """See that Postgres answers, with the extension and the schema that this program needs."""
    from search.database import open_database
    from search.migrations import PGVECTOR_MINIMUM
    from search.status import read_status

    if _has_no_cluster(environment):
        return "embedded, not made yet: `make pipeline` makes it"
    with open_database(environment.database_url, environment.root) as database:
        status = read_status(database)
    if status.pending:
        raise DatabaseError(
            f"{len(status.pending)} migrations are not applied: run `soundalike db migrate`."
        )
    found = tuple(map(int, (status.pgvector or "0").split(".")))
    if found < PGVECTOR_MINIMUM:
        raise DatabaseError(
            f"pgvector {status.pgvector} is too old: install "
            f"{'.'.join(map(str, PGVECTOR_MINIMUM))} or later, then ALTER EXTENSION vector UPDATE."
        )
    return f"{status.name}, Postgres {status.postgres}, pgvector {status.pgvector}, {status.size}"


def check_mlflow(environment: Environment) -> str:
    """See that MLflow answers."""
    local = not environment.mlflow_tracking_uri
    if local and not (environment.root / "mlflow" / "mlflow.db").exists():
        return "local, not made yet: `make pipeline` makes it"
    from ml.registry import Registry

    versions = Registry.open(environment).list_versions()
    plural = "" if len(versions) == 1 else "s"
    return f"{'local' if local else 'server'}, {len(versions)} model version{plural}"


def check_dagster(environment: Environment) -> str:
    """See that the instance opens, and whether a daemon lives, which runs things by itself."""
    folder = environment.dagster_folder
    if not (folder / "dagster.yaml").exists():
        return "not made yet: `make dev` or `make pipeline` makes it"
    with _open_instance(folder) as instance:
        beats, running = instance.get_daemon_heartbeats().values(), _list_running(instance)
    silent = min((time.time() - beat.timestamp for beat in beats), default=math.inf)
    daemon = "no daemon: `make dev` starts one"
    if silent < HEARTBEAT_SECONDS:
        daemon = f"a daemon, alive {silent:.0f} s ago"
    return ", ".join(filter(None, [str(folder), daemon, running]))


def check_catalogue(environment: Environment) -> str:
    """See that the manifest can be used."""
    from ml.catalog import read_catalog

    found = read_catalog(environment.manifest, Workspace(environment.root).denied_tracks())
    rejected = f", {len(found.rejected):,} rows rejected" if len(found.rejected) else ""
    return f"{len(found.tracks):,} tracks in {environment.manifest}{rejected}"


def check_active_model(environment: Environment) -> str:
    """See that a version serves, and that the pipeline calls the same one production."""
    from search.database import open_database
    from search.index import active_version

    if _has_no_cluster(environment):
        return f"none yet: {_name_running(environment) or '`make pipeline` trains one'}"
    with open_database(environment.database_url, environment.root) as database:
        serving = active_version(database)
    workspace = Workspace(environment.root)
    recorded = workspace.has_record("production_model")
    production = workspace.load_record("production_model")["version"] if recorded else None
    if serving is not None and production == serving:
        return f"version {serving}"
    if running := _name_running(environment):
        return f"{f'version {serving}' if serving is not None else 'none yet'}: {running}"
    if serving is None:
        raise SoundalikeError("No version serves: run `make pipeline`, it says what stops it.")
    raise SoundalikeError(
        f"Version {serving} serves, but production is {production}: run `make pipeline`, or "
        f"`soundalike models activate {serving}` to keep it."
    )


def _name_running(environment: Environment) -> str:
    """Name the jobs that are under way, if any: then "run it" is no advice."""
    folder = environment.dagster_folder
    if not (folder / "dagster.yaml").exists():
        return ""
    with _open_instance(folder) as instance:
        return _list_running(instance)


def _list_running(instance: "DagsterInstance") -> str:
    from dagster import DagsterRunStatus, RunsFilter

    under_way = RunsFilter(statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED])
    return ", ".join(f"`{run.job_name}` is running" for run in instance.get_runs(under_way))


@contextmanager
def _open_instance(folder: Path) -> "Iterator[DagsterInstance]":
    from dagster import DagsterError, DagsterInstance

    try:
        with DagsterInstance.from_config(str(folder)) as instance:
            yield instance
    except DagsterError as error:
        why = " ".join(str(error).split())
        raise SoundalikeError(f"{folder}/dagster.yaml cannot be used: {why}") from error


def _has_no_cluster(environment: Environment) -> bool:
    return not environment.database_url and not (environment.root / "postgres").exists()


CHECKS: dict[str, Check] = {
    "versions": check_versions,
    "disk": check_disk,
    "memory": check_memory,
    "database": check_database,
    "mlflow": check_mlflow,
    "dagster": check_dagster,
    "catalogue": check_catalogue,
    "serving": check_active_model,
}
