"""From candidate to production: judge what was evaluated, respect what people decided, promote."""

import math
from collections.abc import Sequence
from typing import Any

from ml.candidacy import BASELINE, CANDIDATE, PRODUCTION, RANDOM, load_candidate
from ml.errors import RegistryError
from ml.evaluation.scores import ScoreRow
from ml.gate import judge
from ml.registry import ROLLED_BACK_TAG, Registry
from ml.verdict import Verdict
from ml.workspace import Workspace

GATE_SPLIT = "validation"
"""Test tracks serve the report alone: a gate that looked at them would select by them."""

REFUSAL = (
    "Production stays as it was: train with other settings, or run `promote` with a `force_reason`."
)

GATE_TAG, FORCE_TAG = "gate", "force_reason"


def judge_candidate(workspace: Workspace, registry: Registry) -> Verdict:
    """Let the gate judge the recorded evaluation, by its validation tracks.

    Parameters
    ----------
    workspace : Workspace
        Holds the evaluation.
    registry : Registry
        Knows what people decided about the version before: one that was rolled back is refused,
        one that was forced into production is not judged again.

    Returns
    -------
    Verdict
    """
    record = workspace.load_record("evaluation")
    by_encoder = {
        name: [row for row in record["rows"][GATE_SPLIT] if row["encoder"] == name]
        for name in (RANDOM, BASELINE, CANDIDATE, PRODUCTION)
    }
    named = {CANDIDATE: "candidate"}
    hubness = record["hubness"][GATE_SPLIT]
    verdict = judge(
        by_encoder[CANDIDATE],
        by_encoder[RANDOM],
        by_encoder[BASELINE],
        by_encoder[PRODUCTION] or None,
        differences=record["differences"][GATE_SPLIT],
        hubness=[row | {"encoder": named.get(row["encoder"], row["encoder"])} for row in hubness],
    )
    return _respect_people(verdict, registry, record["candidate"])


def _respect_people(verdict: Verdict, registry: Registry, number: int) -> Verdict:
    """Let what people decided about a version stand above what its figures say."""
    version = registry.find_version(number)
    tags = registry.read_tags(version)
    if when := tags.get(ROLLED_BACK_TAG):
        reason = (
            f"Version {number} was rolled back on {when}: train another candidate, or run "
            "`promote` with a `force_reason` to have this one back."
        )
        return Verdict(passed=False, reasons=(reason,), comparisons=verdict.comparisons)
    if (why := tags.get(FORCE_TAG)) and version == registry.find_production():
        reason = f"Version {number} is in production by a person's decision: {why}"
        return Verdict(passed=True, reasons=(reason,), comparisons=verdict.comparisons)
    return verdict


def promote_candidate(
    workspace: Workspace, registry: Registry, force_reason: str = ""
) -> dict[str, Any]:
    """Point the alias `production` at the candidate, if the gate or a person lets it through.

    Parameters
    ----------
    workspace : Workspace
        Holds the evaluation; gets the record `production_model`.
    registry : Registry
        Holds the alias.
    force_reason : str
        Why it is to go to production even if the gate refuses; kept with the version.

    Returns
    -------
    dict
        The record: version, run, what it replaced, the reason if it was forced, and the mAP on
        test tracks by annotation and protocol.

    Raises
    ------
    RegistryError
        The gate refuses, or the evaluation is of another candidate; production stays as it was.
    """
    candidate = registry.find_version(load_candidate(workspace)["version"])
    evaluation = workspace.load_record("evaluation")
    if evaluation["candidate"] != candidate.number:
        raise RegistryError(
            f"Version {candidate.number} has not been evaluated (version "
            f"{evaluation['candidate']} was): materialise `evaluation` first."
        )
    verdict = judge_candidate(workspace, registry)
    forced = force_reason.strip() if not verdict.passed else ""
    outcome = "passed" if verdict.passed else "forced" if forced else "refused"
    registry.annotate(candidate, {GATE_TAG: outcome})
    if outcome == "refused":
        raise RegistryError(
            f"The gate refuses version {candidate.number}: {' '.join(verdict.reasons)} {REFUSAL}"
        )
    if forced:
        registry.annotate(candidate, {FORCE_TAG: forced, ROLLED_BACK_TAG: ""})
    before = registry.find_production()
    registry.promote(candidate)
    record = {
        "version": candidate.number,
        "run_id": candidate.run_id,
        "replaced": before.number if before and before != candidate else None,
        FORCE_TAG: registry.read_tags(candidate).get(FORCE_TAG),
        "metrics": _summarise(evaluation["rows"]["test"]),
    }
    workspace.save_record("production_model", record)
    return record


def _summarise(rows: Sequence[ScoreRow]) -> dict[str, dict[str, float]]:
    """Pick the candidate's mAP by annotation and protocol, where there is one."""
    metrics: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["encoder"] == CANDIDATE and math.isfinite(row["map"]):
            metrics.setdefault(row["annotation"], {})[row["protocol"]] = row["map"]
    return metrics
