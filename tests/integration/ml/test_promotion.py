"""Evaluation, gate and promotion on models that were trained."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.errors import RegistryError, SoundalikeError
from ml.promotion import (
    SETTINGS,
    evaluate_candidates,
    judge_candidate,
    promote_candidate,
)
from ml.workspace import Workspace

if TYPE_CHECKING:
    from tests.integration.conftest import Home


@pytest.fixture(scope="module")
def home(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Copy the finished home; these tests leave its production as it is."""
    return finished.copy(tmp_path_factory.mktemp("promotion") / "data")


@pytest.fixture
def untrained(home: "Home") -> int:
    """Register a worse candidate: the baseline's files under another name, as if trained."""
    registry, baseline = home.registry(), home.workspace.load_record("baseline_model")
    with registry.start_run("candidate", "baseline as candidate") as run:
        run.log_encoder(Path(baseline["folder"]))
    version = registry.register(run.run_id, "baseline as candidate")
    record = {
        "fingerprint": version.fingerprint,
        "folder": baseline["folder"],
        "run_id": run.run_id,
        "version": version.number,
    }
    home.workspace.save_record("convnet_model", record)
    return version.number


def test_evaluation_scores_every_encoder_on_the_same_clips(home: "Home") -> None:
    result = evaluate_candidates(home.workspace, home.registry())
    assert set(result.rows) == {"validation", "test"}
    for rows in result.rows.values():
        assert {row["encoder"] for row in rows} == {"random", "baseline", "convnet"}
        assert {row["protocol"] for row in rows} == set(SETTINGS.protocols)
        for protocol in SETTINGS.protocols:
            for annotation in ("genre", "mood"):
                same = [
                    r for r in rows if (r["protocol"], r["annotation"]) == (protocol, annotation)
                ]
                assert len({(row["n"], row["chance"]) for row in same}) == 1


def test_unchanged_evaluation_is_found(home: "Home") -> None:
    record = home.workspace.load_record("evaluation")
    result = evaluate_candidates(home.workspace, home.registry())
    assert result.reused
    assert home.workspace.load_record("evaluation") == record


def test_production_is_not_compared_with_itself(home: "Home") -> None:
    assert judge_candidate(home.workspace).passed
    before = home.registry().find_production()
    record = promote_candidate(home.workspace, home.registry())
    assert record["replaced"] is None
    assert home.registry().find_production() == before


def test_candidate_that_was_not_evaluated_is_refused(home: "Home", untrained: int) -> None:
    before = home.registry().find_production()
    with pytest.raises(RegistryError, match=f"Version {untrained} has not been evaluated"):
        promote_candidate(home.workspace, home.registry())
    assert home.registry().find_production() == before


def test_worse_candidate_is_evaluated_and_refused(home: "Home", untrained: int) -> None:
    registry = home.registry()
    before = registry.find_production()
    result = evaluate_candidates(home.workspace, registry)
    assert not result.reused
    assert "production" in {row["encoder"] for row in result.rows["validation"]}
    verdict = judge_candidate(home.workspace)
    assert {c.against for c in verdict.comparisons if not c.met} == {"baseline", "production"}
    with pytest.raises(RegistryError, match=f"refuses version {untrained}.* stays as it was"):
        promote_candidate(home.workspace, registry)
    assert registry.find_production() == before
    tags = registry._client.get_model_version("music-encoder", str(untrained)).tags
    assert tags["gate"] == "refused"


def test_judging_without_an_evaluation_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SoundalikeError, match="materialise `evaluation` first"):
        judge_candidate(Workspace(tmp_path))
