"""A team's real daemon and webservers: a catalogue that grows, a killed run, a worse candidate."""

import csv
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psutil
import pytest
import soundfile

from cli.readiness import ask_dagster
from cli.watching import watch_catalogue
from orchestration.partitions import EVERY_BUCKET
from search.index import active_version
from search.similarity import similar_tracks
from tests.integration.conftest import Home, run_config, synthesise
from tests.integration.orchestration.logs import Run
from tests.integration.orchestration.team import Team, wait_until, working

ADDED = 5  # of 38: more than a tenth
WORSE = run_config(epochs=1, learning_rate=1e-9, steps_per_epoch=1)
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
    with working(home, run_config(epochs=3)) as team:
        yield team


def launch(port: int, config: dict[str, Any]) -> dict[str, Any]:
    """Launch `refresh` as the page does: by its tags, with a configuration."""
    tags = ", ".join(f'{{ key: "{key}", value: "{value}" }}' for key, value in EVERY_BUCKET.items())
    query = LAUNCH.format(config=json.dumps(json.dumps(config)), tags=tags)
    answer: dict[str, Any] = ask_dagster(port, query)["launchRun"]
    return answer


def find_worker(run: Run) -> psutil.Process:
    """Find the process of a run, which its log names."""
    said = " ".join(event.message or "" for event in run.events)
    found = re.search(r"\(pid: (\d+)\)", said)
    assert found, said
    return psutil.Process(int(found.group(1)))


def test_deployment_is_healthy_by_its_own_checks(team: Team) -> None:
    variables = team.variables(Path())
    checks = [team.check(service, variables) for service in ("code", "daemon")]
    assert [check.wait(120) for check in checks] == [0, 0]
    with team.home.instance() as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"


def test_page_for_looking_launches_nothing(team: Team) -> None:
    refused = launch(team.ports["readonly"], WORSE)
    assert refused["__typename"] == "UnauthorizedError", refused
    assert team.refreshes() == []


def test_catalogue_that_has_grown_is_refreshed_through_a_killed_run(team: Team) -> None:
    watch_catalogue(team.port)
    wait_until(team.refreshes, "the sensor has seen the new tracks")
    assert "13.2% of the tracks are new" in team.refreshes()[0].record.tags["soundalike/reason"]
    wait_until(lambda: "candidate_model" in team.refreshes()[0].started, "training")
    (run,) = team.refreshes()
    worker = find_worker(run)
    steps = worker.children(recursive=True)
    os.kill(worker.pid, signal.SIGKILL)  # alone: its steps have to notice
    assert steps
    assert not psutil.wait_procs(steps, timeout=60)[1]

    wait_until(lambda: len(team.refreshes()) == 2, "the dead run was noticed and is repeated")
    worse = launch(team.port, WORSE)
    assert worse["__typename"] == "LaunchRunSuccess", worse
    wait_until(lambda: all(run.record.is_finished for run in team.refreshes()), "both have ended")

    latest, repeated, killed = team.refreshes()
    assert latest.record.run_id == worse["run"]["runId"]
    assert repeated.record.parent_run_id == killed.record.run_id == run.record.run_id
    assert killed.record.status == dg.DagsterRunStatus.FAILURE
    assert repeated.record.status == dg.DagsterRunStatus.SUCCESS, repeated.failures
    assert not {"catalog", "tracks", "clips"} & set(repeated.started), "it went on from there"
    with team.home.database() as database:
        assert active_version(database) == 2
        assert {n.model_version for n in similar_tracks(database, "new_0", 3)} == {2}


def test_worse_candidate_is_refused_and_production_still_answers(team: Team) -> None:
    worse = team.refreshes()[0]
    assert worse.record.status == dg.DagsterRunStatus.FAILURE
    assert set(worse.failures) == {"evaluation_map_gate"}
    production = team.home.registry().find_production()
    assert production
    assert production.number == 2


def test_refreshes_never_overlap(team: Team) -> None:
    with team.home.instance() as instance:
        records = instance.get_run_records(dg.RunsFilter(job_name="refresh"))
    spans = sorted((record.start_time or 0.0, record.end_time or 0.0) for record in records)
    assert len(spans) == 3, "the killed one, its repetition and the worse one"
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
