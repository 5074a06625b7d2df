"""A team's real daemon and webservers: a catalogue that grows, a run that is killed."""

import csv
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import psutil
import pytest
import soundfile

from cli.readiness import ask_dagster
from cli.watching import watch_catalogue
from orchestration.partitions import EVERY_BUCKET
from tests.integration.conftest import Home, run_config, synthesise
from tests.integration.orchestration.team import Team, wait_until, working

ADDED = 5  # to 39: more than a tenth
SETTINGS = run_config(epochs=8)
LAUNCH = """mutation {{ launchRun(executionParams: {{ mode: "default", runConfigData: {config},
  executionMetadata: {{ tags: [{tags}] }},
  selector: {{ repositoryName: "__repository__", repositoryLocationName: "soundalike",
              jobName: "refresh" }} }})
  {{ __typename ... on LaunchRunSuccess {{ run {{ runId }} }}
     ... on PythonError {{ message }} ... on UnauthorizedError {{ message }} }} }}"""


@pytest.fixture(scope="module")
def team(finished: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Let a team work on a copy of the finished home, whose catalogue has grown since."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copytree(finished.manifest.parent, folder / "catalogue")
    manifest = folder / "catalogue" / finished.manifest.name
    with manifest.open("a", newline="") as file:
        for number in range(ADDED):
            rising, name = number % 2 == 0, f"new_{number}"
            samples = synthesise(rising, np.random.default_rng(1000 + number))
            soundfile.write(manifest.parent / f"{name}.wav", samples, 16_000, subtype="PCM_16")
            labels = ("rise", "tense") if rising else ("fall", "calm")
            csv.writer(file).writerow([name, f"{name}.wav", name, "Artist 9", "", *labels])
    home = Home(finished.copy(folder / "data").root, manifest)
    with working(home, SETTINGS) as team:
        yield team


def launch(port: int, config: dict[str, Any]) -> dict[str, Any]:
    """Launch `refresh` as the page does: by its tags, with a configuration."""
    tags = ", ".join(f'{{ key: "{key}", value: "{value}" }}' for key, value in EVERY_BUCKET.items())
    query = LAUNCH.format(config=json.dumps(json.dumps(config)), tags=tags)
    answer: dict[str, Any] = ask_dagster(port, query)["launchRun"]
    return answer


def started(team: Team, run: dg.DagsterRun) -> set[str]:
    """Name the steps that a run has started."""
    records = team.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_START, limit=100
    ).records
    return {str(record.event_log_entry.step_key) for record in records}


def find_worker(team: Team, run: dg.DagsterRun) -> psutil.Process:
    """Find the process of a run, which its log names."""
    said = " ".join(entry.message for entry in team.instance.all_logs(run.run_id))
    found = re.search(r"\(pid: (\d+)\)", said)
    assert found, said
    return psutil.Process(int(found.group(1)))


def test_deployment_is_healthy_by_its_own_checks(team: Team) -> None:
    checks = [team.start_check(service) for service in ("code", "daemon")]
    assert [check.wait(120) for check in checks] == [0, 0]
    assert type(team.instance.run_storage).__name__ == "PostgresRunStorage"
    assert type(team.instance.event_log_storage).__name__ == "PostgresEventLogStorage"


def test_page_for_looking_launches_nothing(team: Team) -> None:
    refused = launch(team.ports["readonly"], SETTINGS)
    assert refused["__typename"] == "UnauthorizedError", refused
    assert team.refreshes() == []


def test_catalogue_that_has_grown_is_refreshed_and_a_killed_run_is_repeated(team: Team) -> None:
    watch_catalogue(team.ports["webserver"])
    wait_until(team.refreshes, "the sensor has seen the new tracks")
    (run,) = team.refreshes()
    assert "12.8% of the tracks are new" in run.tags["soundalike/reason"]
    wait_until(lambda: "candidate_model" in started(team, run), "training")
    worker = find_worker(team, run)
    steps = worker.children(recursive=True)
    os.kill(worker.pid, signal.SIGKILL)  # alone: its steps have to notice
    assert steps
    assert not psutil.wait_procs(steps, timeout=60)[1]

    wait_until(lambda: len(team.refreshes()) == 2, "the dead run was noticed and is repeated")
    repeated, killed = team.refreshes()
    assert repeated.parent_run_id == killed.run_id == run.run_id
    assert killed.status == dg.DagsterRunStatus.FAILURE
