"""What a terminal shows of a run."""

import contextlib
import sqlite3
from pathlib import Path

import dagster as dg
import pytest
from rich.text import Text

from ml.environment import Environment
from ml.errors import CatalogError
from orchestration.failures import explain_failures
from orchestration.launch import INSTANCE_SETTINGS, describe_event, prepare_instance

AWKWARD = "Correct the row [/bold] of [red]tracks.csv[/red]: it has no path."


@dg.asset
def good(context: dg.AssetExecutionContext) -> None:
    """Log something."""
    context.log.info("1 of 2 [files]")


@dg.asset_check(asset=good, blocking=True)
def strict() -> dg.AssetCheckResult:
    """Refuse."""
    return dg.AssetCheckResult(passed=False, description=AWKWARD)


@dg.asset
@explain_failures
def bad() -> None:
    """Fail as a user can mend."""
    raise CatalogError(AWKWARD)


@dg.asset
def broken() -> None:
    """Fail by a bug."""
    raise ZeroDivisionError("no luck")


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Run them, and render the lines that people see."""
    with dg.instance_for_test() as instance:
        definitions = dg.Definitions([good, bad, broken], asset_checks=[strict])
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        entries = instance.all_logs(result.run_id)
    return [Text.from_markup(line).plain for e in entries for line in describe_event(e)]


def test_steps_are_named_and_timed(printed: list[str]) -> None:
    assert {"good", "bad", "broken"} <= set(printed)
    assert any(line.startswith("  done in 0.") for line in printed)


def test_log_lines_are_shown_as_they_are(printed: list[str]) -> None:
    assert any(line.endswith("good  1 of 2 [files]") for line in printed)


def test_check_that_does_not_pass_gives_its_reason(printed: list[str]) -> None:
    assert f"  check strict not passed: {AWKWARD}" in printed


def test_failure_that_a_user_can_mend_is_its_sentence(printed: list[str]) -> None:
    assert f"  failed: {AWKWARD}" in printed


def test_failure_of_another_kind_names_the_error(printed: list[str]) -> None:
    assert any("failed" in line and "ZeroDivisionError: no luck" in line for line in printed)


def test_instance_is_made_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    environment = Environment(data_dir=tmp_path / "data")
    folder = prepare_instance(environment)
    assert folder == tmp_path / "data" / "dagster"
    assert (folder / "dagster.yaml").read_text() == INSTANCE_SETTINGS.read_text()
    with dg.DagsterInstance.get() as instance:
        assert instance.root_directory == str(folder)
        assert not instance.telemetry_enabled


def test_settings_of_a_team_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert prepare_instance(Environment()) == tmp_path
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_instance_has_its_tables_before_processes_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    folder = prepare_instance(Environment(data_dir=tmp_path, dagster_home=""))
    files = [folder / "schedules" / "schedules.db", folder / "history" / "runs.db"]
    for path in files:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1
