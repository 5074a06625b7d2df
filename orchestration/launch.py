"""Run a job from a terminal, and show how it goes."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType, DagsterInstance
from rich.markup import escape

from ml.environment import Environment
from ml.locks import lock_file
from orchestration.failures import explain_event
from orchestration.partitions import EVERY_BUCKET

Show = Callable[[str], None]

INSTANCE_SETTINGS = Path(__file__).parents[1] / "dagster.yaml"
POLL_SECONDS = 0.5
NOT_EXECUTED = "Dependencies for step"
LAUNCH_TAG = ".dagster/soundalike_launch"  # this prefix keeps a tag out of the UI


def prepare_instance(environment: Environment) -> Path:
    """Make `DAGSTER_HOME` with the project's instance settings, and the tables that they ask for.

    Where `DAGSTER_HOME` is set and has settings of its own, such as a team's, those stay.

    Parameters
    ----------
    environment : Environment
        Names the folder.

    Returns
    -------
    Path
        The folder; `DAGSTER_HOME` of this process is set to it.
    """
    folder = environment.dagster_folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not (environment.dagster_home and settings.exists()):
        shutil.copyfile(INSTANCE_SETTINGS, settings)
    os.environ["DAGSTER_HOME"] = str(folder)
    # Here and now: the processes of a service, started together, would spoil each other's tables.
    with lock_file(folder / "initialise.lock"), DagsterInstance.from_config(str(folder)):
        return folder


def load_refresh() -> dg.JobDefinition:
    """Load the job, in whichever process a step runs."""
    from orchestration.definitions import defs

    return defs.resolve_job_def("refresh")


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run_id: str
    success: bool


def run_refresh(show: Show, run_config: Mapping[str, object] | None = None) -> Outcome:
    """Run the whole graph in one run and show its progress.

    Parameters
    ----------
    show : callable
        Gets one line at a time.
    run_config : dict, optional
        Dagster run configuration.

    Returns
    -------
    Outcome
        The run and whether it succeeded.
    """
    tags = {**EVERY_BUCKET, LAUNCH_TAG: uuid.uuid4().hex}
    # Dagster's own console log would say everything a second time.
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(run_config or {})}
    with DagsterInstance.get() as instance:
        finished = threading.Event()
        viewer = threading.Thread(target=_follow, args=(instance, tags, show, finished))
        viewer.start()
        try:
            result = dg.execute_job(
                dg.reconstructable(load_refresh), instance, run_config=config, tags=tags
            )
        finally:
            finished.set()
            viewer.join()
    return Outcome(result.run_id, result.success)


def time_steps(run_id: str) -> dict[str, float]:
    """Tell how long each step of a run took, in seconds, in the order of their start."""
    with DagsterInstance.get() as instance:
        steps = [step for step in instance.get_run_step_stats(run_id) if step.start_time]
    return {
        step.step_key: (step.end_time or 0.0) - (step.start_time or 0.0)
        for step in sorted(steps, key=lambda step: step.start_time or 0.0)
    }


def _follow(
    instance: DagsterInstance, tags: dict[str, str], show: Show, finished: threading.Event
) -> None:
    """Show the events of the run with these tags until it is finished and all are shown."""
    cursor: str | None = None
    run_id: str | None = None
    while True:
        last = finished.is_set()
        if run_id is None:
            found = instance.get_runs(dg.RunsFilter(tags={LAUNCH_TAG: tags[LAUNCH_TAG]}), limit=1)
            run_id = found[0].run_id if found else None
        if run_id is not None:
            connection = instance.get_records_for_run(run_id, cursor)
            cursor = connection.cursor
            for record in connection.records:
                for line in describe_event(record.event_log_entry):
                    show(line)
            if connection.has_more:
                continue
        if last:
            return
        finished.wait(POLL_SECONDS)


def describe_event(entry: dg.EventLogEntry) -> list[str]:
    """Say in a line or none what an event means to the person who waits.

    Parameters
    ----------
    entry : dagster.EventLogEntry
        Of the run's log.

    Returns
    -------
    list of str
        In rich's markup.
    """
    event = entry.dagster_event
    step = (entry.step_key or "").removesuffix("_0")
    if event is None:
        if entry.user_message.startswith(NOT_EXECUTED):  # one for each step after a failed one
            return []
        return [f"  [dim]{step:>16}[/dim]  {escape(entry.user_message)}"] if step else []
    kind = event.event_type
    if kind == DagsterEventType.STEP_START:
        return [f"[bold]{step}[/bold]"]
    if kind == DagsterEventType.STEP_SUCCESS:
        seconds = event.step_success_data.duration_ms / 1000
        return [f"  [green]done[/green] in {seconds:.1f} s"]
    if kind == DagsterEventType.ASSET_CHECK_EVALUATION:
        return [_describe_check(event)]
    if kind == DagsterEventType.STEP_FAILURE:
        return [f"  [red]failed[/red]: {escape(explain_event(event))}"]
    return []


def _describe_check(event: dg.DagsterEvent) -> str:
    check = event.asset_check_evaluation_data
    mark = "[green]passed[/green]" if check.passed else "[red]not passed[/red]"
    return f"  check {check.check_name} {mark}: {escape(check.description or '')}"
