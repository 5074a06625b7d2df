"""From candidate to production: evaluate, judge, promote.

The evaluation is kept under the fingerprint of all that decides it, so the gate, the promotion and
people read the same figures, and an unchanged one is not computed again.
"""

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml.collection import Collection
from ml.encoders import Encoder, RandomEncoder, load_encoder
from ml.errors import RegistryError
from ml.evaluation.comparison import compare_on_splits, fingerprint_comparison
from ml.evaluation.protocols import EvaluationSettings, ScoreRow, plot_table, table
from ml.gate import Verdict, judge
from ml.registry import ModelVersion, Registry
from ml.workspace import Workspace

logger = logging.getLogger(__name__)

SETTINGS = EvaluationSettings(protocols=("paper", "xt"))
GATE_SPLIT = "validation"
"""Test tracks serve the report alone: a gate that looked at them would select by them."""

RANDOM, BASELINE, CANDIDATE, PRODUCTION = "random", "baseline", "convnet", "production"


@dataclass(frozen=True)
class Evaluation:
    """Scores by split.

    Parameters
    ----------
    rows : dict of str to list of ScoreRow
        By split.
    candidate : int
        Version that was evaluated as the candidate.
    production : int or None
        Version that was evaluated as production, if there was another.
    reused : bool
        Whether it was found rather than computed.
    """

    rows: dict[str, list[ScoreRow]]
    candidate: int
    production: int | None
    reused: bool


def evaluate_candidates(workspace: Workspace, registry: Registry) -> Evaluation:
    """Score random, baseline, candidate and production on validation and on test tracks.

    Parameters
    ----------
    workspace : Workspace
        Holds the models, clips and labels; gets the record `evaluation`.
    registry : Registry
        Holds production's encoder; the candidate's run gets the tables and pictures.

    Returns
    -------
    Evaluation
    """
    candidate = workspace.load_record("convnet_model")
    baseline = workspace.load_record("baseline_model")
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    judged = collection.of("validation", "test")
    production = _production_beside(registry, candidate["version"])
    fingerprints = {BASELINE: baseline["fingerprint"], CANDIDATE: candidate["fingerprint"]}
    fingerprint = fingerprint_comparison(fingerprints, judged, SETTINGS)
    known = _find_evaluation(workspace, fingerprint, production)
    if known:
        return known
    with ExitStack() as stack:
        encoders: dict[str, Encoder] = {
            RANDOM: RandomEncoder(),
            BASELINE: load_encoder(Path(baseline["folder"])),
            CANDIDATE: load_encoder(Path(candidate["folder"])),
        }
        if production:
            encoders[PRODUCTION] = load_encoder(
                stack.enter_context(registry.encoder_folder(production))
            )
        rows = compare_on_splits(encoders, judged, SETTINGS)
    compared = production.number if production else None
    result = Evaluation(rows, candidate["version"], compared, reused=False)
    _record(result, registry, candidate["run_id"])
    workspace.save_record("evaluation", asdict(result) | {"fingerprint": fingerprint})
    return result


def judge_candidate(workspace: Workspace) -> Verdict:
    """Let the gate judge the recorded evaluation, by its validation tracks."""
    record = workspace.load_record("evaluation")
    rows: list[ScoreRow] = record["rows"][GATE_SPLIT]
    by_encoder = {
        name: [row for row in rows if row["encoder"] == name]
        for name in (RANDOM, BASELINE, CANDIDATE, PRODUCTION)
    }
    return judge(
        by_encoder[CANDIDATE],
        by_encoder[RANDOM],
        by_encoder[BASELINE],
        by_encoder[PRODUCTION] or None,
    )


def promote_candidate(workspace: Workspace, registry: Registry) -> dict[str, Any]:
    """Point the alias `production` at the candidate, if the gate lets it through.

    Parameters
    ----------
    workspace : Workspace
        Holds the evaluation; gets the record `production_model`.
    registry : Registry
        Holds the alias.

    Returns
    -------
    dict
        The record: version, run, what it replaced.

    Raises
    ------
    RegistryError
        The gate refuses, or the evaluation is of another candidate; production stays as it was.
    """
    candidate = registry.find_version(workspace.load_record("convnet_model")["version"])
    evaluated = workspace.load_record("evaluation")["candidate"]
    if evaluated != candidate.number:
        raise RegistryError(
            f"Version {candidate.number} has not been evaluated (version {evaluated} was): "
            "materialise `evaluation` first."
        )
    verdict = judge_candidate(workspace)
    registry.annotate(candidate, {"gate": "passed" if verdict.passed else "refused"})
    if not verdict.passed:
        raise RegistryError(
            f"The gate refuses version {candidate.number}: {' '.join(verdict.reasons)} "
            "Production stays as it was."
        )
    before = registry.find_production()
    registry.promote(candidate)
    record = {
        "version": candidate.number,
        "run_id": candidate.run_id,
        "replaced": before.number if before and before != candidate else None,
    }
    workspace.save_record("production_model", record)
    return record


def _production_beside(registry: Registry, candidate: int) -> ModelVersion | None:
    """Find the version in production, unless it is the candidate itself."""
    production = registry.find_production()
    return production if production and production.number != candidate else None


def _find_evaluation(
    workspace: Workspace, fingerprint: str, production: ModelVersion | None
) -> Evaluation | None:
    """Find the recorded evaluation if it would come out the same.

    A candidate that went to production since keeps the evaluation that it was promoted by.
    """
    if not workspace.has_record("evaluation"):
        return None
    record = workspace.load_record("evaluation")
    same_production = production is None or production.number == record["production"]
    if record["fingerprint"] != fingerprint or not same_production:
        return None
    return Evaluation(record["rows"], record["candidate"], record["production"], reused=True)


def _record(result: Evaluation, registry: Registry, run_id: str) -> None:
    run = registry.open_run(run_id)
    for split, rows in result.rows.items():
        run.log_table(table(rows).reset_index(), f"table_1_{split}")
        run.log_figure(plot_table(rows), f"table_1_{split}")
        run.log_metrics(
            {
                f"{split}/{row['protocol']}/{row['annotation']}": row["map"]
                for row in rows
                if row["encoder"] == CANDIDATE
            }
        )
