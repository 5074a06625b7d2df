"""A refresh that is killed in each asset in turn ends as if nothing had happened.

Each time a process goes on from the asset in which the one before was killed, as the run does that
Dagster repeats.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import pytest

from tests.integration.conftest import run_config
from tests.integration.orchestration.logs import (
    Run,
    has_started,
    list_processes,
    read_embeddings,
    read_runs,
    read_scores,
    read_weights,
)

if TYPE_CHECKING:
    from tests.integration.conftest import Home

SERVER = "tests.integration.orchestration.refreshing"
ROOT = Path(__file__).parents[3]
ORDER = (
    *("catalog", "tracks", "clips", "baseline_model", "candidate_model"),
    *("evaluation", "production_model", "embeddings", "index", "active_model"),
)
LONG = {"clips", "candidate_model", "embeddings"}  # killed in the middle, not at their end
SECONDS, ATTEMPTS = 300, 3


@dataclass
class Refreshing:
    """Processes that refresh a home, some assets each."""

    home: "Home"
    server: "subprocess.Popen[str]"
    runs: int = 0

    def start(self, assets: Sequence[str]) -> int:
        """Start one; its process id."""
        config = run_config() if "candidate_model" in assets else {}
        assert self.server.stdin
        print(json.dumps({"assets": assets, "config": config}), file=self.server.stdin, flush=True)
        return self._answer()

    def wait(self) -> int:
        """Wait for the end of one; its exit status."""
        return self._answer()

    def kill_in(self, asset: str, after: float) -> Run | None:
        """Kill one some seconds after it has begun an asset; what its log says.

        None if it was quicker than the signal, at each attempt: that has done no harm.
        """
        place = ORDER.index(asset)
        for attempt in range(ATTEMPTS):
            pid = self.start(ORDER[max(0, place - 1) : place + 1])
            self._wait_for(asset)
            time.sleep(after / (1 + attempt))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if self.wait() == -signal.SIGKILL:
                return read_runs(self.home)[0]
        return None

    def _wait_for(self, asset: str) -> None:
        """Wait until the run that was started last has begun an asset."""
        self.runs += 1
        deadline = time.monotonic() + SECONDS
        with self.home.instance() as instance:
            while instance.get_runs_count() < self.runs or not has_started(instance, asset):
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def _answer(self) -> int:
        assert self.server.stdout
        return int(self.server.stdout.readline())


@pytest.fixture
def refreshing(finished: "Home", tmp_path: Path) -> Iterator[Refreshing]:
    """Prepare a home of the same catalogue where nothing has run, with its database up."""
    home = type(finished)(tmp_path / "data", finished.manifest)
    home.prepare()
    with home.instance() as instance:
        assert not instance.get_runs_count()  # its tables are made
    command = [sys.executable, "-c", f"from {SERVER} import serve; serve()"]
    with (
        home.database(),
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=home.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        yield Refreshing(home, server)
    assert list_processes(home) == []


def test_refresh_killed_in_each_asset_ends_as_an_undisturbed_one(
    finished: "Home", refreshing: Refreshing
) -> None:
    home, generator = refreshing.home, np.random.default_rng(0)
    tried = {asset: refreshing.kill_in(asset, generator.uniform(0, 0.3)) for asset in ORDER}
    killed = {asset: run for asset, run in tried.items() if run}
    assert len(killed) > len(ORDER) / 2
    assert {asset for asset, run in killed.items() if asset not in run.materialised} >= LONG
    refreshing.start(ORDER[-1:])
    assert refreshing.wait() == 0

    last = read_runs(home)[0]
    assert last.record.status == dg.DagsterRunStatus.SUCCESS
    assert last.metadata("active_model")["version"] == 1
    assert [version.number for version in home.registry().list_versions()] == [1]
    assert read_weights(home) == read_weights(finished)
    # Rounding differs from process to process, and with it the order of clips that are alike.
    assert read_scores(home) == pytest.approx(read_scores(finished), abs=1e-3)
    expected, found = read_embeddings(finished), read_embeddings(home)
    assert set(found) == set(expected)
    for segment, vector in expected.items():
        np.testing.assert_allclose(found[segment], vector, atol=1e-6)
    left_open = home.registry()._client.search_runs(["1"], "attributes.status = 'RUNNING'")
    assert not left_open, "MLflow knows that they ended"
