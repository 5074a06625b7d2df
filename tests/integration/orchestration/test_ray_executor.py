"""The graph on a Ray cluster: each step a job of it.

Every step imports everything anew, minutes in all, so it is the first assets unless the variable
`WHOLE_GRAPH` is set.
"""

import json
import os
import sys
from pathlib import Path

import dagster as dg
import pytest

from ml.errors import SoundalikeError
from orchestration.executors import choose_executor
from search.index import active_version
from tests.integration.conftest import PROGRAMS, Home
from tests.integration.orchestration.logs import read_runs
from tests.ray_cluster import running_cluster

WHOLE = bool(os.environ.get("WHOLE_GRAPH"))
FIRST = ("catalog", "tracks")
REFRESH = """
import json, sys
import dagster as dg
from orchestration.launch import load_refresh
from orchestration.partitions import EVERY_BUCKET
if __name__ == "__main__":
    config, names = map(json.loads, sys.argv[1:])
    selection = [dg.AssetKey(name) for name in names] or None
    with dg.DagsterInstance.get() as instance, dg.execute_job(
        dg.reconstructable(load_refresh), instance, config, EVERY_BUCKET, asset_selection=selection
    ) as result:
        assert result.success
"""


def test_steps_are_jobs_of_the_cluster(
    catalogue_file: Path, training_file: str, tmp_path: Path
) -> None:
    home = Home(tmp_path / "data", catalogue_file)
    home.prepare()
    own = {name: home.variables[name] for name in ("DATA_DIR", "CATALOG", "DAGSTER_HOME")}
    own["PATH"] = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    config = json.loads(Path(training_file).read_text()) if WHOLE else {}
    names = [] if WHOLE else FIRST
    with home.database() as database, running_cluster(dashboard=True, **own) as cluster:
        where = {"STEP_EXECUTOR": "ray", "RAY_API_SERVER_ADDRESS": cluster.dashboard}
        asked = [json.dumps(part) for part in (config, names)]
        done = home.run(Path(sys.executable).name, "-c", REFRESH, *asked, **where)
        (run,) = read_runs(home)
        assert done.returncode == 0, (run.failures, done.stdout)
        if WHOLE:
            assert active_version(database) == 1
    assert run.record.status == dg.DagsterRunStatus.SUCCESS
    assert set(run.materialised) >= set(FIRST)
    assert len(home.workspace.load_table("tracks")) == 39
    kind = dg.DagsterEventType.STEP_WORKER_STARTING
    sent = [event for event in run.events if event.event_type == kind]
    assert {event.step_key for event in sent} == set(run.started)
    assert all("in Ray job dagster-step-" in str(event.message) for event in sent)


def test_unknown_executor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEP_EXECUTOR", "kubernetes")
    with pytest.raises(SoundalikeError, match="set it to local or ray"):
        choose_executor()
