"""A team's real daemon and webservers: a new catalogue, a killed run, a worse candidate.

And a person who launches a refresh in a browser and judges it there.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml
from playwright.sync_api import Browser, expect

from cli.readiness import ask_dagster
from cli.watching import watch_catalogue
from orchestration.automation.jobs import RUN_TAGS
from search.index import active_version
from search.similarity import similar_tracks
from tests.chromium import PATIENCE_MS
from tests.chromium import browser as browser
from tests.integration.conftest import Home, choose_ids, run_config
from tests.integration.orchestration.team import Team, wait_until, working

SETTINGS = {"ops": run_config()["ops"]}
TRACK = choose_ids()[0]
WORSE = run_config(epochs=1, learning_rate=1e-9, steps_per_epoch=1)
LAUNCH = """mutation {{ launchRun(executionParams: {{ mode: "default", runConfigData: {config},
  executionMetadata: {{ tags: [{tags}] }},
  selector: {{ repositoryName: "__repository__", repositoryLocationName: "soundalike",
              jobName: "refresh" }} }})
  {{ __typename ... on LaunchRunSuccess {{ run {{ runId }} }}
     ... on RunConfigValidationInvalid {{ errors {{ message }} }}
     ... on PythonError {{ message }} ... on UnauthorizedError {{ message }} }} }}"""


@pytest.fixture(scope="module")
def team(catalogue_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Let a team begin: nothing has run on its catalogue yet."""
    home = Home(tmp_path_factory.mktemp("team") / "data", catalogue_file)
    home.prepare()
    with working(home, SETTINGS) as team:
        yield team


def launch(port: int, config: dict[str, Any]) -> dict[str, Any]:
    """Launch `refresh` as the page does: by its tags, with a configuration in YAML.

    JSON would not do: in YAML, a number like 1e-09 is a text.
    """
    tags = ", ".join(f'{{ key: "{key}", value: "{value}" }}' for key, value in RUN_TAGS.items())
    query = LAUNCH.format(config=json.dumps(yaml.safe_dump(config)), tags=tags)
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


def failures(team: Team, run: dg.DagsterRun) -> dict[str, str]:
    """Read what each failed step of a run said."""
    entries = team.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    events = [entry.get_dagster_event() for entry in entries]
    return {str(e.step_key): e.step_failure_data.error_display_string for e in events}


def test_deployment_is_healthy_by_its_own_checks(team: Team) -> None:
    checks = [team.start_check(service) for service in ("code", "daemon")]
    assert [check.wait(120) for check in checks] == [0, 0]
    assert type(team.instance.run_storage).__name__ == "PostgresRunStorage"
    assert type(team.instance.event_log_storage).__name__ == "PostgresEventLogStorage"


def test_page_for_looking_launches_nothing(team: Team) -> None:
    refused = launch(team.ports["readonly"], WORSE)
    assert refused["__typename"] == "UnauthorizedError", refused
    assert team.refreshes() == []


def test_new_catalogue_is_refreshed_through_a_killed_run(team: Team) -> None:
    watch_catalogue(team.ports["webserver"])
    wait_until(team.refreshes, "the sensor has seen the catalogue")
    (run,) = team.refreshes()
    assert run.tags["soundalike/reason"] == "No model was trained on this catalogue yet."
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
    wait_until(lambda: team.refreshes()[0].is_finished, "the end of the repeated run")
    repeated = team.refreshes()[0]
    assert repeated.status == dg.DagsterRunStatus.SUCCESS, failures(team, repeated)
    assert not {"catalog", "tracks", "clips"} & started(team, repeated), "it went on from there"
    version = team.home.registry().find_version(1)
    params = team.home.registry()._client.get_run(version.run_id).data.params
    assert params["minibatch.steps"] == "8", "as REFRESH_CONFIG says"
    with team.home.database() as database:
        assert active_version(database) == 1
        assert {n.model_version for n in similar_tracks(database, TRACK, 3)} == {1}


def test_refresh_is_launched_from_the_page_and_judged_there(team: Team, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    address = f"http://127.0.0.1:{team.ports['webserver']}"
    page.goto(f"{address}/locations/soundalike/jobs/refresh")
    page.get_by_role("button", name="Materialize all").click(timeout=PATIENCE_MS)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_role("button", name="Launch backfill").click()
    wait_until(lambda: len(team.refreshes()) == 3, "the launched run")
    wait_until(lambda: team.refreshes()[0].is_finished, "its end")
    latest = team.refreshes()[0]
    assert latest.status == dg.DagsterRunStatus.SUCCESS, failures(team, latest)
    page.goto(f"{address}/locations/soundalike/jobs/refresh/runs")
    expect(page.get_by_text("Success").first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{address}/assets/evaluation")
    for shown in ("table_1_validation_paper", "differences_test_paper", "map_of_test_tracks"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{address}/assets/evaluation?view=checks")
    expect(page.get_by_text("map_gate", exact=True).first).to_be_visible(timeout=PATIENCE_MS)
    page.close()


def test_worse_candidate_is_refused_and_production_still_answers(team: Team) -> None:
    launched = launch(team.ports["webserver"], WORSE)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    wait_until(lambda: team.refreshes()[0].is_finished, "the end of the run")
    worse = team.refreshes()[0]
    assert worse.run_id == launched["run"]["runId"]
    assert worse.status == dg.DagsterRunStatus.FAILURE
    assert set(failures(team, worse)) == {"evaluation_map_gate"}
    production = team.home.registry().find_production()
    assert production
    assert production.number == 1
    with team.home.database() as database:
        assert {n.model_version for n in similar_tracks(database, TRACK, 3)} == {1}


def test_refreshes_never_overlap(team: Team) -> None:
    records = team.instance.get_run_records(dg.RunsFilter(job_name="refresh"))
    spans = sorted((record.start_time or 0.0, record.end_time or 0.0) for record in records)
    assert len(spans) == 4, "the killed one, its repetition, the page's, the worse one"
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
