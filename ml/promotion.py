"""From candidate to production: evaluate, judge, promote.

The evaluation is kept under the fingerprint of all that decides it, so the gate, the promotion and
people read the same figures, and an unchanged one is not computed again.
"""

import logging
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ml.collection import Collection
from ml.encoders import Encoder, RandomEncoder, load_encoder
from ml.errors import RegistryError
from ml.evaluation.comparison import fingerprint_comparison
from ml.evaluation.contest import CategoryRow, Contest, DifferenceRow, hold_contest
from ml.evaluation.hubness import HubnessRow
from ml.evaluation.listening import write_examples
from ml.evaluation.pictures import TrackMap, map_tracks, plot_categories, plot_map
from ml.evaluation.protocols import EvaluationSettings, ScoreRow, plot_table, table
from ml.gate import judge
from ml.registry import ROLLED_BACK_TAG, ModelVersion, Registry
from ml.splits import Split
from ml.verdict import Verdict
from ml.workspace import Workspace

logger = logging.getLogger(__name__)

SETTINGS = EvaluationSettings(protocols=("paper", "xt"))
SPLITS: tuple[Split, ...] = ("validation", "test")
GATE_SPLIT = "validation"
"""Test tracks serve the report alone: a gate that looked at them would select by them."""

RANDOM, BASELINE, CANDIDATE, PRODUCTION = "random", "baseline", "convnet", "production"
LISTENING = "listening"
GATE_TAG, FORCE_TAG = "gate", "force_reason"


@dataclass(frozen=True)
class Evaluation:
    """Scores by split.

    Parameters
    ----------
    rows : dict of str to list of ScoreRow
        By split.
    differences : dict of str to list of DifferenceRow
        The candidate's from each other encoder, by split.
    hubness : dict of str to list of HubnessRow
        Of each encoder, by split.
    categories : dict of str to list of CategoryRow
        Genres and moods, by split.
    track_map : TrackMap
        The test tracks as the candidate hears them.
    candidate : int
        Version that was evaluated as the candidate.
    production : int or None
        Version that was evaluated as production, if there was another.
    reused : bool
        Whether it was found rather than computed.
    """

    rows: dict[str, list[ScoreRow]]
    differences: dict[str, list[DifferenceRow]]
    hubness: dict[str, list[HubnessRow]]
    categories: dict[str, list[CategoryRow]]
    track_map: TrackMap
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
    judged = collection.of(*SPLITS)
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
        contests = {
            split: hold_contest(encoders, CANDIDATE, judged.of(split), SETTINGS) for split in SPLITS
        }
    compared = production.number if production else None
    test, heard = judged.of("test"), contests["test"].embeddings
    track_map = map_tracks(heard, test.labels.tracks, test.labels.genres)
    result = _gather(contests, track_map, candidate["version"], compared)
    with tempfile.TemporaryDirectory() as folder:
        write_examples(test, heard, Path(folder))
        registry.open_run(candidate["run_id"]).log_folder(Path(folder), LISTENING)
    _record(result, registry, candidate["run_id"])
    workspace.save_record("evaluation", asdict(result) | {"fingerprint": fingerprint})
    return result


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
        The record: version, run, what it replaced, and the reason if it was forced.

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
    verdict = judge_candidate(workspace, registry)
    forced = force_reason.strip() if not verdict.passed else ""
    outcome = "passed" if verdict.passed else "forced" if forced else "refused"
    registry.annotate(candidate, {GATE_TAG: outcome})
    if outcome == "refused":
        raise RegistryError(
            f"The gate refuses version {candidate.number}: {' '.join(verdict.reasons)} "
            "Production stays as it was."
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
    }
    workspace.save_record("production_model", record)
    return record


def _gather(
    contests: dict[Split, Contest], track_map: TrackMap, candidate: int, production: int | None
) -> Evaluation:
    return Evaluation(
        {split: contest.rows for split, contest in contests.items()},
        {split: contest.differences for split, contest in contests.items()},
        {split: contest.hubness for split, contest in contests.items()},
        {split: contest.categories for split, contest in contests.items()},
        track_map,
        candidate,
        production,
        reused=False,
    )


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
    known = {name: value for name, value in record.items() if name != "fingerprint"}
    return Evaluation(**known | {"reused": True})


def _record(result: Evaluation, registry: Registry, run_id: str) -> None:
    run = registry.open_run(run_id)
    run.log_figure(plot_map(result.track_map), "map")
    for split, rows in result.rows.items():
        run.log_table(table(rows).reset_index(), f"table_1_{split}")
        run.log_figure(plot_table(rows), f"table_1_{split}")
        run.log_figure(plot_categories(result.categories[split]), f"categories_{split}")
        run.log_table(pd.DataFrame(result.differences[split]), f"differences_{split}")
        run.log_metrics(
            {
                f"{split}/{row['protocol']}/{row['annotation']}": row["map"]
                for row in rows
                if row["encoder"] == CANDIDATE
            }
        )
