"""Which of the runs that wait in the queue may begin, by the instance's own settings."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from ml.environment import Environment
from orchestration.definitions import defs
from orchestration.launch import prepare_instance

TAKEDOWN = {"ops": {"take_track_down": {"config": {"track_id": "a", "reason": "the label asked"}}}}
BY_HAND = "__ASSET_JOB"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    prepare_instance(Environment(data_dir=tmp_path))
    with dg.DagsterInstance.get() as instance:
        yield instance


def add(
    instance: dg.DagsterInstance,
    job: str,
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.QUEUED,
) -> dg.DagsterRun:
    """Add a run as the page launches it."""
    definition = defs.resolve_job_def(job)
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("soundalike"), "__repository__")
    return instance.create_run_for_job(
        definition,
        run_config=TAKEDOWN if job == "takedown" else None,
        status=status,
        tags=definition.run_tags,
        remote_job_origin=RemoteJobOrigin(origin, job),
    )


def choose(instance: dg.DagsterInstance) -> list[str]:
    """Name the jobs of the runs that the daemon would launch now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    chosen = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
    return [run.job_name for run in chosen]


def test_two_refreshes_never_go_on_at_once_but_a_takedown_waits_for_none(
    instance: dg.DagsterInstance,
) -> None:
    add(instance, "refresh")
    add(instance, "refresh")
    add(instance, "takedown")
    assert choose(instance) == ["refresh", "takedown"]


def test_what_changes_models_or_the_index_waits_for_a_refresh(instance: dg.DagsterInstance) -> None:
    refresh = add(instance, "refresh", dg.DagsterRunStatus.STARTED)
    for job in ("extend", "rollback_version", "sweep"):
        add(instance, job)
    assert choose(instance) == []
    instance.report_run_canceled(refresh)
    assert choose(instance) == ["extend"]


def test_what_is_materialised_by_hand_waits_for_a_refresh(instance: dg.DagsterInstance) -> None:
    add(instance, "extend")
    assert choose(instance) == ["extend"]  # whereby the daemon comes to know the pool
    add(instance, "refresh", dg.DagsterRunStatus.STARTED)
    add(instance, BY_HAND)
    assert choose(instance) == []
