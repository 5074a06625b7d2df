"""The whole graph on a Ray cluster: each step a job of it."""

import os
from pathlib import Path

import dagster as dg
import pytest

from ml.errors import SoundalikeError
from orchestration.executors import choose_executor
from search.index import active_version
from tests.integration.conftest import PROGRAMS, Home
from tests.integration.orchestration.logs import read_runs
from tests.ray_cluster import running_cluster

JOB = ("dagster", "job", "execute", "-m", "orchestration.definitions", "-j", "refresh")


def test_cluster_refreshes_from_nothing_to_an_active_version(
    catalogue_file: Path, training_file: str, tmp_path: Path
) -> None:
    home = Home(tmp_path / "data", catalogue_file)
    home.prepare()
    own = {name: home.variables[name] for name in ("DATA_DIR", "CATALOG", "DAGSTER_HOME")}
    own["PATH"] = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    with home.database() as database, running_cluster(dashboard=True, **own) as cluster:
        where = {"STEP_EXECUTOR": "ray", "RAY_API_SERVER_ADDRESS": cluster.dashboard}
        done = home.run(*JOB, "-c", training_file, **where)
        (run,) = read_runs(home)
        assert done.returncode == 0, (run.failures, done.stdout)
        assert active_version(database) == 1
    assert run.record.status == dg.DagsterRunStatus.SUCCESS
    kind = dg.DagsterEventType.STEP_WORKER_STARTING
    sent = [event for event in run.events if event.event_type == kind]
    assert {event.step_key for event in sent} == set(run.started)
    assert all("in Ray job dagster-step-" in str(event.message) for event in sent)


def test_unknown_executor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP_EXECUTOR", "kubernetes")
    with pytest.raises(SoundalikeError, match="set it to local or ray"):
        choose_executor()
