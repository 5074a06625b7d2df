"""`soundalike dev` as a person uses it: pages in a browser, stopped by Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from cli.readiness import ask_dagster
from tests.ports import free_port

SOUNDALIKE = Path(sys.executable).parent / "soundalike"
START_SECONDS, STOP_SECONDS = 150, 60


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, int]]:
    """Serve on free ports; on leaving, Ctrl-C must end every process within a minute."""
    folder = tmp_path_factory.mktemp("dev")
    dagster, mlflow, search = free_port(), free_port(), free_port()
    environment = {**os.environ, "DATA_DIR": str(folder), "CATALOG": "", "DAGSTER_HOME": ""}
    ports = ["--dagster-port", str(dagster), "--mlflow-port", str(mlflow)]
    ports += ["--search-port", str(search)]
    printed = folder / "printed.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(
            [SOUNDALIKE, "dev", *ports], env=environment, stdout=output, stderr=output
        )
        try:
            wait_for(lambda: b"Ctrl-C" in printed.read_bytes(), process, printed)
            yield dagster, mlflow, search
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(STOP_SECONDS)
    assert status == 0, printed.read_text()
    assert printed.read_text().rstrip().endswith("Stopped.")
    left = [port for port in (dagster, mlflow, search) if listens(port)]
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


def test_dagster_page_offers_the_refresh_job(
    served: tuple[int, int, int], browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{served[0]}/locations/soundalike/jobs/refresh")
    expect(page.get_by_text("Materialize all").first).to_be_visible(timeout=90_000)


def test_catalogue_is_watched(served: tuple[int, int, int]) -> None:
    selector = 'repositoryName: "__repository__", repositoryLocationName: "soundalike"'
    answer = ask_dagster(
        served[0],
        f"""{{ sensorOrError(sensorSelector: {{ {selector}, sensorName: "catalogue_changes" }})
        {{ ... on Sensor {{ sensorState {{ status }} }} }}
        scheduleOrError(scheduleSelector: {{ {selector}, scheduleName: "weekly_refresh" }})
        {{ ... on Schedule {{ scheduleState {{ status }} }} }} }}""",
    )
    assert answer["sensorOrError"]["sensorState"]["status"] == "RUNNING"
    assert answer["scheduleOrError"]["scheduleState"]["status"] == "RUNNING"


def test_mlflow_page_lists_the_experiment(served: tuple[int, int, int], browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{served[1]}/#/experiments")
    expect(page.get_by_text("soundalike", exact=True).first).to_be_visible(timeout=90_000)


def test_search_is_served_before_anything_can_be_found(served: tuple[int, int, int]) -> None:
    address = f"http://127.0.0.1:{served[2]}"
    assert requests.get(f"{address}/healthz", timeout=30).json()["status"] == "ok"
    missing = requests.get(f"{address}/api/v1/models/active", timeout=30)
    assert (missing.status_code, missing.json()["code"]) == (503, "no_active_model")


def test_taken_port_is_refused_in_one_line(served: tuple[int, int, int], tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "CATALOG": "", "DAGSTER_HOME": ""}
    command = [str(SOUNDALIKE), "dev", "--dagster-port", str(served[0])]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert f"Port {served[0]} is taken" in refused.stderr
    assert "Traceback" not in refused.stderr
