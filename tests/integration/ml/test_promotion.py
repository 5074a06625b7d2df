"""Evaluation, gate and promotion on models that were trained."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml.candidacy import SETTINGS, evaluate_candidates
from ml.errors import RegistryError, SoundalikeError
from ml.promotion import judge_candidate, promote_candidate
from ml.registry import ROLLED_BACK_TAG
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
    home.workspace.save_record("candidate_model", record)
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
    assert judge_candidate(home.workspace, home.registry()).passed
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
    verdict = judge_candidate(home.workspace, home.registry())
    assert {c.against for c in verdict.comparisons if not c.met} == {"baseline", "production"}
    with pytest.raises(RegistryError, match=f"refuses version {untrained}.* stays as it was"):
        promote_candidate(home.workspace, registry)
    assert registry.find_production() == before
    tags = registry._client.get_model_version("music-encoder", str(untrained)).tags
    assert tags["gate"] == "refused"


def test_refused_candidate_is_promoted_for_a_reason_that_is_kept(
    home: "Home", untrained: int, tmp_path: Path
) -> None:
    evaluate_candidates(home.workspace, home.registry())
    forced = home.copy(tmp_path / "data")
    registry = forced.registry()
    record = promote_candidate(forced.workspace, registry, "the label team asked for it")
    assert record["version"] == untrained
    assert record["force_reason"] == "the label team asked for it"
    assert registry.find_production() == registry.find_version(untrained)
    tags = registry.read_tags(registry.find_version(untrained))
    assert (tags["gate"], tags["force_reason"]) == ("forced", "the label team asked for it")
    evaluate_candidates(forced.workspace, registry)
    verdict = judge_candidate(forced.workspace, registry)
    assert verdict.passed, "the next refresh does not take it back"
    assert "a person's decision: the label team" in verdict.reasons[0]


def test_version_that_was_rolled_back_needs_a_reason_to_return(
    finished: "Home", tmp_path: Path
) -> None:
    home = finished.copy(tmp_path / "data")
    registry = home.registry()
    registry.annotate(registry.find_version(1), {ROLLED_BACK_TAG: "2026-01-01 12:00 UTC"})
    verdict = judge_candidate(home.workspace, registry)
    assert not verdict.passed
    assert "Version 1 was rolled back on 2026-01-01 12:00 UTC" in verdict.reasons[0]
    with pytest.raises(RegistryError, match="rolled back"):
        promote_candidate(home.workspace, registry)
    assert promote_candidate(home.workspace, registry, "mended")["force_reason"] == "mended"
    assert judge_candidate(home.workspace, registry).passed


@pytest.mark.usefixtures("untrained")
def test_production_is_evaluated_again_and_compared_by_interval(home: "Home") -> None:
    result = evaluate_candidates(home.workspace, home.registry())
    for split in ("validation", "test"):
        pairs = {(row["against"], row["annotation"]) for row in result.differences[split]}
        for against in ("random", "baseline", "production"):
            assert {(against, a) for a in ("genre", "mood", "track")} <= pairs
        rows = {(r["encoder"], r["protocol"], r["annotation"]): r for r in result.rows[split]}
        for row in result.differences[split]:
            column = (row["protocol"], row["annotation"])
            gain = rows["convnet", *column]["map"] - rows[row["against"], *column]["map"]
            assert row["gain"] == pytest.approx(gain)
            assert row["low"] <= row["gain"] <= row["high"]
        assert {row["encoder"] for row in result.hubness[split]} == {
            *("random", "baseline", "convnet", "production")
        }
    baseline = [r for r in result.differences["validation"] if r["against"] == "baseline"]
    assert {row["high"] for row in baseline} == {0.0}, "the candidate is the baseline's copy"


def test_judging_without_an_evaluation_says_what_to_do(home: "Home", tmp_path: Path) -> None:
    with pytest.raises(SoundalikeError, match="materialise `evaluation` first"):
        judge_candidate(Workspace(tmp_path), home.registry())
