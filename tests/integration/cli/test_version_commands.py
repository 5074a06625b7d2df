"""`soundalike models` and the jobs of the same names, on a home that has two versions loaded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from orchestration.definitions import defs
from search import index
from search.publication import index_production, publish_windows
from search.similarity import similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import Home


@pytest.fixture(scope="module")
def home(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Home]":
    """Load the baseline as a second version beside the first, which stays active."""
    home = finished.copy(tmp_path_factory.mktemp("versions") / "data")
    registry, workspace = home.registry(), home.workspace
    with home.database() as database:
        version = registry.register(workspace.load_record("baseline_model")["run_id"], "other")
        workspace.save_record("production_model", {"version": version.number})
        publish_windows(database, registry, workspace, range(100))
        index_production(database, workspace)
        yield home  # the server runs on, and each command finds it


def invoke(home: "Home", *command: str) -> Result:
    with home._environment():
        return CliRunner().invoke(app, ["models", *command])


def execute(home: "Home", job: str, **config: object) -> dg.ExecuteInProcessResult:
    definition = defs.resolve_job_def(job)
    (op,) = (node.name for node in definition.graph.nodes)
    run_config = {"ops": {op: {"config": config}}} if config else None
    with home._environment(), home.instance() as instance:
        return definition.execute_in_process(
            run_config=run_config, instance=instance, raise_on_error=False
        )


def active(home: "Home") -> tuple[int | None, int]:
    """Tell which version serves, and which is in production in the registry."""
    production = home.registry().find_production()
    assert production is not None
    assert home.workspace.load_record("production_model")["version"] == production.number
    with home.database() as database:
        served = {n.model_version for n in similar_tracks(database, "tone_000", 3)}
        version = index.active_version(database)
    assert served == {version}
    return version, production.number


def was_rolled_back(home: "Home") -> list[int]:
    registry = home.registry()
    return [v.number for v in registry.list_versions() if registry.read_tags(v).get("rolled_back")]


def test_versions_are_switched_and_retired_by_command(home: "Home") -> None:
    listed = json.loads(invoke(home, "list", "--json").stdout)
    assert [(m["model_version"], m["state"], m["active"]) for m in listed] == [
        (1, "verified", True),
        (2, "verified", False),
    ]
    assert "(before: 1)" in invoke(home, "activate", "2").stdout
    assert active(home) == (2, 2)
    assert was_rolled_back(home) == []
    assert "Version 1 serves again instead of 2" in invoke(home, "rollback").stdout
    assert active(home) == (1, 1)
    assert was_rolled_back(home) == [2], "so that no refresh promotes it again"
    assert home.workspace.load_table("indexed").empty, "what came meanwhile is looked for"
    refused = invoke(home, "activate", "7")
    assert "no version 7" in str(refused.exception)
    assert "one of the last 2" in str(invoke(home, "retire", "2").exception)
    assert "nothing to retire" in invoke(home, "retire").stdout
    assert active(home) == (1, 1)


def test_rollback_to_what_the_registry_lacks_changes_nothing(home: "Home", tmp_path: Path) -> None:
    assert invoke(home, "activate", "2").exit_code == 0
    empty = f"sqlite:///{tmp_path / 'mlflow.db'}"
    refused = home.run("soundalike", "models", "rollback", MLFLOW_TRACKING_URI=empty)
    assert refused.returncode == 1
    assert "no version 1" in refused.stdout
    assert active(home) == (2, 2)
    assert "`soundalike models retire 1 --keep 1`" in str(invoke(home, "retire", "1").exception)
    assert invoke(home, "rollback").exit_code == 0
    assert active(home) == (1, 1)


def test_recall_is_checked_and_the_index_built_anew_by_command(home: "Home") -> None:
    checked = json.loads(invoke(home, "check", "--json").stdout)
    assert (checked["passed"], checked["version"], checked["queries"]) == (True, 1, 76)
    assert "The index is good" in invoke(home, "reindex", "1").stdout
    assert "recall" in invoke(home, "list").stdout


def test_versions_are_switched_and_retired_by_job(home: "Home") -> None:
    assert execute(home, "activate_version", version=2).success
    assert active(home) == (2, 2)
    assert was_rolled_back(home) == [], "a person has brought it back"
    assert execute(home, "rollback_version").success
    assert active(home) == (1, 1)
    refused = execute(home, "retire_versions", version=1)
    (failure,) = [e for e in refused.all_events if e.is_step_failure]
    assert "is active and cannot be retired" in str(failure.step_failure_data.user_failure_data)
    assert execute(home, "retire_versions").success
    assert active(home) == (1, 1)


def test_recall_of_the_active_version_is_measured_by_job(home: "Home") -> None:
    run = execute(home, "check_recall")
    assert run.success
    (output,) = [e for e in run.all_events if e.is_successful_output]
    metadata = output.step_output_data.metadata
    assert metadata["ef_search"].value == 100  # the least: eleven tracks have 22 windows
    assert float(str(metadata["recall"].value)) >= 0.98
    assert {"p50_ms", "p95_ms", "missed", "queries", "verdict", "needs_reindex"} <= set(metadata)
