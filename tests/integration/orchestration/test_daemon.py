"""The real daemon and webserver: a changed manifest, a run that is killed, a version up to date."""

import csv
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from playwright.sync_api import expect, sync_playwright

from cli.readiness import ask_dagster
from search.similarity import similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import Home

SECONDS = 180
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LAUNCH = """mutation { launchRun(executionParams: { mode: "default", runConfigData: {},
  selector: { repositoryName: "__repository__", repositoryLocationName: "soundalike",
              jobName: "confirm" } }) { __typename } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def changed(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Copy the finished home and its catalogue, and add a track to the manifest."""
    folder = tmp_path_factory.mktemp("watched")
    shutil.copytree(finished.manifest.parent, folder / "catalogue")
    manifest = folder / "catalogue" / finished.manifest.name
    shutil.copy(manifest.parent / "tone_000.wav", manifest.parent / "new.wav")
    with manifest.open("a", newline="") as file:
        csv.writer(file).writerow(["new_0", "new.wav", "New", "Artist 1", "", "rise", "tense"])
    return type(finished)(finished.copy(folder / "data").root, manifest)


@pytest.fixture(scope="module")
def port(changed: "Home") -> Iterator[int]:
    """Serve it as `make dev` does."""
    dagster, mlflow = free_port(), free_port()
    ports = ("--dagster-port", str(dagster), "--mlflow-port", str(mlflow))
    served = changed.start("soundalike", "dev", *ports)
    try:
        assert served.stdout is not None
        printed = next((line for line in served.stdout if "is watched" in line), "")
        assert printed, "it ended before it watched the catalogue"
        yield dagster
    finally:
        os.kill(served.pid, signal.SIGINT)
        served.communicate(timeout=60)


def read_runs(home: "Home", job: str = "extend") -> list[dg.DagsterRun]:
    with home.instance() as instance:
        return list(instance.get_runs(dg.RunsFilter(job_name=job)))


def find_worker(home: "Home", run_id: str) -> int | None:
    """Read from a run's log which process it is."""
    with home.instance() as instance:
        said = [entry.message for entry in instance.all_logs(run_id)]
    found = re.search(r"\(pid: (\d+)\)", " ".join(said))
    return int(found.group(1)) if found else None


def test_killed_run_of_a_changed_catalogue_is_repeated_until_it_is_served(
    changed: "Home", port: int
) -> None:
    wait_until(lambda: any(run.status == dg.DagsterRunStatus.STARTED for run in read_runs(changed)))
    (run,) = read_runs(changed)
    assert "1 added" in run.tags["soundalike/reason"]
    for _ in range(2):
        assert ask_dagster(port, LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
    wait_until(lambda: find_worker(changed, run.run_id))
    os.kill(find_worker(changed, run.run_id) or 0, signal.SIGKILL)

    def repeated() -> list[dg.DagsterRun]:
        return [r for r in read_runs(changed) if r.tags.get("dagster/parent_run_id") == run.run_id]

    wait_until(repeated)
    wait_until(lambda: repeated()[0].is_finished)
    assert repeated()[0].status == dg.DagsterRunStatus.SUCCESS
    with changed.database() as database:
        (nearest, *_) = similar_tracks(database, "new_0", 3)
        assert nearest.model_version == 1

    wait_until(lambda: all(run.is_finished for run in read_runs(changed, "confirm")))
    with changed.instance() as instance:
        records = instance.get_run_records()
    ours = [r for r in records if r.dagster_run.job_name in ("extend", "confirm")]
    spans = sorted((r.start_time or 0.0, r.end_time or 0.0) for r in ours)
    assert len(spans) == 4, "the killed one and its repetition, and the two that were launched"
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "one run at a time"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install it")
@pytest.mark.parametrize(
    ("asset", "shown"),
    [
        ("evaluation", ["table_1_validation", "differences_test", "map_of_test_tracks"]),
        ("active_model", ["since", "genres_of_neighbours"]),
    ],
)
def test_page_of_an_asset_shows_what_its_run_is_judged_by(
    asset: str, shown: list[str], port: int, tmp_path: Path
) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1600})
        page.goto(f"http://127.0.0.1:{port}/assets/{asset}")
        for name in shown:
            expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=60_000)
        page.screenshot(path=tmp_path / f"{asset}.png", full_page=True)
        browser.close()
