"""`soundalike doctor` on a home where nothing has run, on one that serves, and on broken ones."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from cli.doctor import CHECKS, examine
from ml.environment import Environment
from orchestration.launch import load_refresh, prepare_instance

if TYPE_CHECKING:
    from tests.integration.conftest import Home


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "MLFLOW_TRACKING_URI", "CATALOG", "DATA_DIR", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


def todo(environment: Environment) -> dict[str, str]:
    return {finding.name: finding.detail for finding in examine(environment) if not finding.ok}


def test_fresh_home_needs_a_catalogue_and_stays_as_it_is(tmp_path: Path) -> None:
    found = todo(Environment(data_dir=tmp_path))
    assert list(found) == ["catalogue"]
    assert "set CATALOG to your tracks.csv" in found["catalogue"]
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_home_that_serves_is_in_order(finished: "Home") -> None:
    done = finished.run("soundalike", "doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(found) == list(CHECKS)
    assert all(row["ok"] for row in found.values())
    assert found["serving"]["detail"] == "version 1"
    assert found["catalogue"]["detail"].startswith("39 tracks in")
    assert "1 rows rejected" in found["catalogue"]["detail"]
    assert "pgvector 0.8" in found["database"]["detail"]
    assert found["mlflow"]["detail"].endswith(" 1 model version")
    assert "no daemon" in found["dagster"]["detail"]


def test_what_is_broken_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("nonsense: true")
    broken = Environment(
        data_dir=tmp_path,
        catalog=str(tmp_path / "absent.csv"),
        database_url="postgresql://nobody@127.0.0.1:1/nothing",
    )
    found = todo(broken)
    assert set(found) == {"database", "dagster", "catalogue", "serving"}
    assert "DATABASE_URL" in found["database"]
    assert "dagster.yaml cannot be used" in found["dagster"]


def test_production_that_does_not_serve_is_told(finished: "Home", tmp_path: Path) -> None:
    home = finished.copy(tmp_path / "data")
    home.workspace.save_record("production_model", {"version": 2})
    found = todo(Environment(data_dir=home.root, catalog=str(home.manifest)))
    assert list(found) == ["serving"]
    assert "Version 1 serves, but production is 2" in found["serving"]


def test_what_is_under_way_is_named_instead_of_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))  # so that it is unset after
    home = Environment(data_dir=tmp_path)
    prepare_instance(home)
    with DagsterInstance.from_config(str(home.dagster_folder)) as instance:
        run = instance.create_run_for_job(load_refresh(), status=DagsterRunStatus.STARTED)
        found = {finding.name: finding.detail for finding in examine(home)}
        assert found["dagster"].endswith("`refresh` is running")
        assert found["serving"] == "none yet: `refresh` is running"
        instance.report_run_canceled(run)
    found = {finding.name: finding.detail for finding in examine(home)}
    assert found["serving"] == "none yet: `make pipeline` trains one"
