"""Evaluate the candidate beside random, baseline and production, all on the same clips.

The evaluation is kept under the fingerprint of all that decides it, so the gate, the promotion and
people read the same figures, and an unchanged one is not computed again.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ml.collection import Collection
from ml.development import Model
from ml.encoders import Encoder, RandomEncoder, choose_device, load_encoder
from ml.evaluation.comparison import fingerprint_comparison
from ml.evaluation.contest import CategoryRow, Contest, DifferenceRow, hold_contest
from ml.evaluation.hubness import HubnessRow
from ml.evaluation.listening import write_examples
from ml.evaluation.pictures import TrackMap, map_tracks, plot_categories, plot_map, render
from ml.evaluation.protocols import EvaluationSettings, ScoreRow, plot_table, table
from ml.evaluation.raters import AgreementRow, rate_encoders
from ml.registry import ModelVersion, Registry
from ml.splits import Split
from ml.storage import replace_file
from ml.workspace import Workspace

logger = logging.getLogger(__name__)

SETTINGS = EvaluationSettings()
"""All protocols: the stricter ones are the honest columns, and the full one has hubness."""
SPLITS: tuple[Split, ...] = ("validation", "test")

RANDOM, BASELINE, CANDIDATE, PRODUCTION = "random", "baseline", "convnet", "production"
LISTENING = "listening"
RECORD, FORMER_RECORD = "candidate_model", "convnet_model"


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
    fingerprint : str
        Of the clips, labels, encoders and settings that decide it.
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
    fingerprint: str
    candidate: int
    production: int | None
    reused: bool


def keep_candidate(workspace: Workspace, registry: Registry, model: Model) -> ModelVersion:
    """Register a trained model, and keep it as the candidate.

    Returns
    -------
    ModelVersion
        Its version; the one that it had already if it was registered before.
    """
    version = registry.register(model.run_id, model.fingerprint)
    workspace.save_record(RECORD, model.to_record() | {"version": version.number})
    return version


def load_candidate(workspace: Workspace) -> dict[str, Any]:
    """Read which model is the candidate, also where it was trained under the asset's former name.

    Raises
    ------
    SoundalikeError
        None was trained yet.
    """
    former = workspace.has_record(FORMER_RECORD) and not workspace.has_record(RECORD)
    return workspace.load_record(FORMER_RECORD if former else RECORD)


def evaluate_candidates(workspace: Workspace, registry: Registry) -> Evaluation:
    """Score random, baseline, candidate and production on validation and on test tracks.

    Parameters
    ----------
    workspace : Workspace
        Holds the models, clips and labels; gets the record `evaluation` and its pictures.
    registry : Registry
        Holds production's encoder; the candidate's run gets the tables and pictures.

    Returns
    -------
    Evaluation
    """
    candidate = load_candidate(workspace)
    baseline = workspace.load_record("baseline_model")
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    judged = collection.of(*SPLITS)
    production = _production_beside(registry, candidate["version"])
    fingerprints = {BASELINE: baseline["fingerprint"], CANDIDATE: candidate["fingerprint"]}
    fingerprint = fingerprint_comparison(fingerprints, judged, SETTINGS)
    known = _find_evaluation(workspace, fingerprint, candidate["version"], production)
    if known:
        _draw(known, workspace)
        return known
    with open_encoders(registry, baseline, candidate, production) as encoders:
        contests = {}
        for split in SPLITS:
            logger.info("Comparing on %s tracks", split)
            contests[split] = hold_contest(encoders, CANDIDATE, judged.of(split), SETTINGS)
    compared = production.number if production else None
    test, heard = judged.of("test"), contests["test"].embeddings
    track_map = map_tracks(heard, test.labels.tracks, test.labels.genres)
    result = _gather(contests, track_map, fingerprint, candidate["version"], compared)
    with tempfile.TemporaryDirectory() as folder:
        write_examples(test, heard, Path(folder))
        registry.open_run(candidate["run_id"]).log_folder(Path(folder), LISTENING)
    shutil.rmtree(workspace.picture_folder(fingerprint).parent, ignore_errors=True)
    _draw(result, workspace)
    _record(result, workspace, registry, candidate["run_id"])
    workspace.save_record("evaluation", asdict(result))
    return result


def rate_candidates(
    workspace: Workspace, registry: Registry, triplets: pd.DataFrame
) -> list[AgreementRow]:
    """Hold the same encoders against what raters said of any track of the catalogue.

    Parameters
    ----------
    workspace, registry : Workspace, Registry
        As for `evaluate_candidates`.
    triplets : pandas.DataFrame
        As for `ml.evaluation.raters.rate_encoders`.

    Returns
    -------
    list of AgreementRow
        None where nothing that is still in the catalogue was rated.
    """
    if triplets.empty:
        return []
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    candidate, baseline = load_candidate(workspace), workspace.load_record("baseline_model")
    production = _production_beside(registry, candidate["version"])
    with open_encoders(registry, baseline, candidate, production) as encoders:
        return rate_encoders(encoders, collection, triplets)


@contextmanager
def open_encoders(
    registry: Registry,
    baseline: Mapping[str, Any],
    candidate: Mapping[str, Any],
    production: ModelVersion | None,
) -> Iterator[dict[str, Encoder]]:
    """Load what is compared: random, baseline, the candidate, and production if it is another."""
    encoders: dict[str, Encoder] = {
        RANDOM: RandomEncoder(),
        BASELINE: load_encoder(Path(baseline["folder"])),
        CANDIDATE: load_encoder(Path(candidate["folder"]), choose_device()),
    }
    with ExitStack() as stack:
        if production:
            folder = stack.enter_context(registry.encoder_folder(production))
            encoders[PRODUCTION] = load_encoder(folder, choose_device())
        yield encoders


def _gather(
    contests: dict[Split, Contest],
    track_map: TrackMap,
    fingerprint: str,
    candidate: int,
    production: int | None,
) -> Evaluation:
    return Evaluation(
        {split: contest.rows for split, contest in contests.items()},
        {split: contest.differences for split, contest in contests.items()},
        {split: contest.hubness for split, contest in contests.items()},
        {split: contest.categories for split, contest in contests.items()},
        track_map,
        fingerprint,
        candidate,
        production,
        reused=False,
    )


def _production_beside(registry: Registry, candidate: int) -> ModelVersion | None:
    """Find the version in production, unless it is the candidate itself."""
    production = registry.find_production()
    return production if production and production.number != candidate else None


def _find_evaluation(
    workspace: Workspace, fingerprint: str, candidate: int, production: ModelVersion | None
) -> Evaluation | None:
    """Find the recorded evaluation if it would come out the same.

    A candidate that went to production since keeps the evaluation that it was promoted by.
    """
    if not workspace.has_record("evaluation"):
        return None
    record = workspace.load_record("evaluation")
    same_production = production is None or production.number == record["production"]
    same_candidate = record["candidate"] == candidate
    if record["fingerprint"] != fingerprint or not (same_candidate and same_production):
        return None
    return Evaluation(**record | {"reused": True})


def _draw(result: Evaluation, workspace: Workspace) -> None:
    """Keep the pictures that are missing, for MLflow and for whoever shows the evaluation again."""
    figures = {"map": partial(plot_map, result.track_map)}
    for split, rows in result.rows.items():
        figures[f"table_1_{split}"] = partial(plot_table, rows)
        figures[f"categories_{split}"] = partial(plot_categories, result.categories[split])
    for name, plot in figures.items():
        path = workspace.picture_folder(result.fingerprint) / f"{name}.png"
        if not path.exists():
            with replace_file(path) as file:
                file.write(render(plot()))


def _record(result: Evaluation, workspace: Workspace, registry: Registry, run_id: str) -> None:
    run = registry.open_run(run_id)
    run.log_folder(workspace.picture_folder(result.fingerprint))
    for split, rows in result.rows.items():
        run.log_table(table(rows).reset_index(), f"table_1_{split}")
        run.log_table(pd.DataFrame(result.differences[split]), f"differences_{split}")
        run.log_metrics(
            {
                f"{split}/{row['protocol']}/{row['annotation']}": row["map"]
                for row in rows
                if row["encoder"] == CANDIDATE
            }
        )
