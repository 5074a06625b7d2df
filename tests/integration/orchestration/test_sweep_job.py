"""The job `sweep`: two trials, the better one the candidate, nothing left to do the next time."""

from typing import TYPE_CHECKING

import dagster as dg
import pytest

from orchestration.definitions import defs
from tests.integration.conftest import TRAINING

if TYPE_CHECKING:
    from tests.integration.conftest import Home

SEARCH = TRAINING | {"epochs": 1, "steps_per_epoch": 2, "trials": 2, "seeds": 1}


@pytest.fixture(scope="module")
def home(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Copy the finished home."""
    return finished.copy(tmp_path_factory.mktemp("sweep") / "data")


def sweep(home: "Home") -> dg.ExecuteInProcessResult:
    """Run the job."""
    config = {"ops": {"read_request": {"config": SEARCH}}}
    with home._environment(), home.instance() as instance:
        return defs.resolve_job_def("sweep").execute_in_process(config, instance)


def test_sweep_makes_the_better_trial_the_candidate_and_then_has_nothing_left(
    home: "Home",
) -> None:
    before = home.workspace.load_record("candidate_model")
    first = sweep(home)
    assert sorted(first.output_for_node("run_trial").values()) == [1, 2]
    candidate = home.workspace.load_record("candidate_model")
    assert (before["version"], candidate["version"]) == (1, 2)
    client = home.registry()._client
    (parent,) = client.search_runs(["1"], "tags.fingerprint LIKE 'sweep-%'")
    trials = client.search_runs(["1"], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert len(trials) == 2
    assert candidate["run_id"] in {trial.info.run_id for trial in trials}

    second = sweep(home)
    started = {event.step_key for event in second.all_events if event.is_step_start}
    assert started == {"read_request", "plan_trials", "choose_best"}, "no trial is left"
    assert home.workspace.load_record("candidate_model") == candidate
