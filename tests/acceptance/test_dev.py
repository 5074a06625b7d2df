"""`soundalike dev` as a person uses it: pages in a browser, stopped by Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from cli.readiness import ask_dagster
from tests.integration.conftest import run_config
from tests.ports import free_port

SOUNDALIKE = Path(sys.executable).parent / "soundalike"
START_SECONDS, RUN_SECONDS, STOP_SECONDS = 150, 300, 60


@dataclass(frozen=True)
class Served:
    """Where everything is: the ports of the pages, and the manifest that there may be once."""

    dagster: int
    mlflow: int
    search: int
    manifest: Path

    def page(self, path: str) -> str:
        """Name the address of a page of Dagster."""
        return f"http://127.0.0.1:{self.dagster}/{path}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve on free ports; on leaving, Ctrl-C must end every process within a minute."""
    folder = tmp_path_factory.mktemp("dev")
    served = Served(free_port(), free_port(), free_port(), folder / "catalogue" / "tracks.csv")
    settings = folder / "refresh.yaml"
    settings.write_text(json.dumps(run_config()))
    environment = {
        **os.environ,
        "DATA_DIR": str(folder),
        "CATALOG": str(served.manifest),
        "DAGSTER_HOME": "",
        "REFRESH_CONFIG": str(settings),
    }
    ports = ["--dagster-port", str(served.dagster), "--mlflow-port", str(served.mlflow)]
    ports += ["--search-port", str(served.search)]
    printed = folder / "printed.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [SOUNDALIKE, "dev", *ports], env=environment, stdout=output, stderr=output
        )
        try:
            wait_for(lambda: b"Ctrl-C" in printed.read_bytes(), process, printed)
            yield served
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(STOP_SECONDS)
    assert status == 0, printed.read_text()
    assert printed.read_text().rstrip().endswith("Stopped.")
    left = [port for port in (served.dagster, served.mlflow, served.search) if listens(port)]
    assert not left, f"ports {left} are still served"


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes], printed: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not done():
        assert process.poll() is None, printed.read_text()
        assert time.monotonic() < deadline, printed.read_text()
        time.sleep(0.3)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_catalogue_is_watched(served: Served) -> None:
    selector = 'repositoryName: "__repository__", repositoryLocationName: "soundalike"'
    answer = ask_dagster(
        served.dagster,
        f"""{{ sensorOrError(sensorSelector: {{ {selector}, sensorName: "catalogue_changes" }})
        {{ ... on Sensor {{ sensorState {{ status }} }} }}
        scheduleOrError(scheduleSelector: {{ {selector}, scheduleName: "weekly_refresh" }})
        {{ ... on Schedule {{ scheduleState {{ status }} }} }} }}""",
    )
    assert answer["sensorOrError"]["sensorState"]["status"] == "RUNNING"
    assert answer["scheduleOrError"]["scheduleState"]["status"] == "RUNNING"


def test_mlflow_page_lists_the_experiment(served: Served, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{served.mlflow}/#/experiments")
    expect(page.get_by_text("soundalike", exact=True).first).to_be_visible(timeout=90_000)


def test_search_is_served_before_anything_can_be_found(served: Served) -> None:
    address = f"http://127.0.0.1:{served.search}"
    assert requests.get(f"{address}/healthz", timeout=30).json()["status"] == "ok"
    missing = requests.get(f"{address}/api/v1/models/active", timeout=30)
    assert (missing.status_code, missing.json()["code"]) == (503, "no_active_model")


def test_taken_port_is_refused_in_one_line(served: Served, tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "CATALOG": "", "DAGSTER_HOME": ""}
    command = [str(SOUNDALIKE), "dev", "--dagster-port", str(served.dagster)]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert f"Port {served.dagster} is taken" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_refresh_is_launched_from_the_page_and_judged_there(
    served: Served, browser: Browser, catalogue_file: Path
) -> None:
    served.manifest.parent.symlink_to(catalogue_file.parent)
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(served.page("locations/soundalike/jobs/refresh"))
    page.get_by_role("button", name="Materialize all").click(timeout=90_000)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="All", exact=True).click()
    dialog.get_by_role("button", name="Launch backfill").click()
    expect(dialog).to_have_count(0)
    page.goto(served.page("locations/soundalike/jobs/refresh/runs"))
    expect(page.get_by_text("Success").first).to_be_visible(timeout=1000 * RUN_SECONDS)

    page.goto(served.page("assets/evaluation"))
    for shown in ("table_1_validation", "differences_test", "map_of_test_tracks", "map_gate"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible(timeout=60_000)
