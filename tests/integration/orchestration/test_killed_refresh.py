"""A refresh that is killed in each asset in turn ends as if nothing had happened.

Each time a process goes on from the asset in which the one before was killed, as the run does that
Dagster repeats. They are forked from a server that has imported everything.
"""

import importlib
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.integration.conftest import run_config
from tests.integration.orchestration.logs import (
    Run,
    has_started,
    read_embeddings,
    read_runs,
    read_weights,
)

if TYPE_CHECKING:
    from tests.integration.conftest import Home

CONTEXT = multiprocessing.get_context("forkserver")
SERVER: Any = forkserver._forkserver
ORDER = (
    *("catalog", "tracks", "clips", "baseline_model", "candidate_model"),
    *("evaluation", "production_model", "embeddings", "index", "active_model"),
)
SECONDS = 300

# What is killed.
WORK = """
import os
import dagster as dg
from orchestration.definitions import defs
from orchestration.partitions import EVERY_BUCKET
def refresh(variables, config, assets):
    os.environ.update(variables)
    with dg.DagsterInstance.get() as instance:
        defs.resolve_job_def("refresh").execute_in_process(
            config, instance, tags=EVERY_BUCKET, asset_selection=[dg.AssetKey(a) for a in assets]
        )
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Write the module that processes import, and run the server that they are forked from."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "refresh_to_kill.py").write_text(WORK)
    SERVER._stop()  # another test's
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        CONTEXT.set_forkserver_preload(["orchestration.preload"])
        yield importlib.import_module("refresh_to_kill")
    SERVER._stop()


@dataclass(frozen=True)
class Refreshing:
    """Processes that refresh a home, from one asset on."""

    home: "Home"
    work: ModuleType

    def start(self, assets: tuple[str, ...]) -> BaseProcess:
        """Start one."""
        config = run_config() if "candidate_model" in assets else {}
        variables = {
            name: self.home.variables[name] for name in ("DATA_DIR", "CATALOG", "DAGSTER_HOME")
        }
        process = CONTEXT.Process(target=self.work.refresh, args=(variables, config, assets))
        process.start()
        return process

    def kill_in(self, asset: str, after: float) -> Run:
        """Kill one some seconds after it has begun an asset; what its log says."""
        with self.home.instance() as instance:
            before = instance.get_runs_count()
            process = self.start(ORDER[max(0, ORDER.index(asset) - 1) :])
            deadline = time.monotonic() + SECONDS
            while instance.get_runs_count() == before or not has_started(
                instance, instance.get_runs(limit=1)[0].run_id, asset
            ):
                assert process.is_alive(), "it ended before it was killed"
                assert time.monotonic() < deadline
                time.sleep(0.02)
        time.sleep(after)
        process.kill()
        process.join()
        assert process.exitcode == -9
        return read_runs(self.home)[0]


def time_assets(home: "Home") -> dict[str, float]:
    """Tell how many seconds each asset of the undisturbed run took."""
    with home.instance() as instance:
        steps = instance.get_run_step_stats(instance.get_runs()[-1].run_id)
    return {step.step_key: (step.end_time or 0) - (step.start_time or 0) for step in steps}


def test_refresh_killed_in_each_asset_ends_as_an_undisturbed_one(
    finished: "Home", work: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = replace(finished, root=tmp_path_factory.mktemp("killed") / "data")
    home.prepare()
    (home.root / "audio").symlink_to(finished.root / "audio")  # `clips` is killed in its own test
    seconds, generator = time_assets(finished), np.random.default_rng(0)
    with home.database():
        killed = {
            asset: Refreshing(home, work).kill_in(asset, seconds[asset] * generator.uniform(0, 0.5))
            for asset in ORDER
        }
        unfinished = [asset for asset, run in killed.items() if asset not in run.materialised]
        assert len(unfinished) >= len(ORDER) / 2, "most were killed in the middle"
        assert {"candidate_model", "embeddings"} <= set(unfinished)
        last = Refreshing(home, work).start(ORDER)
        last.join()
    assert last.exitcode == 0
    assert read_runs(home)[0].materialised == read_runs(finished)[-1].materialised
    assert read_runs(home)[0].checks == read_runs(finished)[-1].checks
    assert [version.number for version in home.registry().list_versions()] == [1]
    assert read_weights(home) == read_weights(finished)
    scores = (one.workspace.load_record("evaluation")["rows"] for one in (home, finished))
    assert next(scores) == next(scores)
    expected, found = read_embeddings(finished), read_embeddings(home)
    assert set(found) == set(expected)
    for segment, vector in expected.items():
        np.testing.assert_allclose(found[segment], vector, atol=1e-6)
    open_runs = home.registry()._client.search_runs(["1"], "attributes.status = 'RUNNING'")
    assert not open_runs, "MLflow knows that they ended"
