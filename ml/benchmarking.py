"""Score encoders on any labelled catalogue: no orchestrator, no database, any of its tracks."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast, get_args

import pandas as pd

from ml.baseline import fit_baseline
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.collection import Collection
from ml.embedding import hear_clips
from ml.encoders import Encoder, RandomEncoder, load_encoder
from ml.errors import EvaluationError
from ml.evaluation.comparison import compare_encoders
from ml.evaluation.protocols import PROTOCOLS, EvaluationSettings, ScoreRow
from ml.evaluation.raters import AgreementRow, rate_encoders
from ml.splits import N_BUCKETS, Split, label_splits
from ml.workspace import Workspace

BASELINE, RANDOM, ALL = "baseline", "random", "all"


class CatalogScores(NamedTuple):
    """What encoders score on a catalogue, and how often they agree with raters, if some rated.

    Of the `tracks` that they were scored on, the pipeline and the baseline train on `trained_on`.
    """

    rows: list[ScoreRow]
    agreement: list[AgreementRow]
    tracks: int
    trained_on: int


def evaluate_catalog(
    manifest: str,
    encoders: Sequence[str],
    protocol: str,
    root: Path,
    triplets: pd.DataFrame | None = None,
    split: str = ALL,
) -> CatalogScores:
    """Score encoders on the tracks of a catalogue.

    The baseline's principal components are fitted on the tracks that hash into the training split.

    Parameters
    ----------
    manifest : str
        Of a labelled catalogue.
    encoders : sequence of str
        `random`, `baseline`, or folders with saved encoders.
    protocol : str
        One of `ml.evaluation.protocols.PROTOCOLS`, or `all`.
    root : Path
        `DATA_DIR`: decoded tracks are kept in a folder of their own below it, for the next time.
    triplets : pandas.DataFrame, optional
        What raters judged, in any split; columns `ml.evaluation.raters.COLUMNS`.
    split : str
        Whose tracks are scored: one of `ml.splits.Split`, or `all`.

    Returns
    -------
    CatalogScores
    """
    if protocol not in (*PROTOCOLS, ALL):
        raise EvaluationError(f"No protocol {protocol!r}: use one of {(*PROTOCOLS, ALL)}.")
    if split not in (*get_args(Split), ALL):
        raise EvaluationError(f"No split {split!r}: use one of {(*get_args(Split), ALL)}.")
    protocols = PROTOCOLS if protocol == ALL else (protocol,)
    collection = collect_catalog(manifest, root)
    resolved = {_short_name(name): _resolve(name, collection) for name in encoders}
    agreement = [] if triplets is None else rate_encoders(resolved, collection, triplets)
    if triplets is not None and not agreement:
        raise EvaluationError(
            "No triplet is about tracks of this catalogue: give the catalogue that was rated."
        )
    judged = collection if split == ALL else collection.of(cast("Split", split))
    rows = compare_encoders(resolved, judged, EvaluationSettings(protocols=protocols))
    trained_on = len(judged.of("train").tracks)
    return CatalogScores(rows, agreement, len(judged.tracks), trained_on)


def collect_catalog(manifest: str, root: Path, *, decode: bool = True) -> Collection:
    """Decode a catalogue, or find it decoded, and collect the clips of its tracks.

    Tracks that were taken down are left out, whichever catalogue has them.

    Parameters
    ----------
    manifest : str
        Of any catalogue.
    root : Path
        `DATA_DIR`.
    decode : bool
        False where another process has just done so: nothing is looked at but what it wrote.

    Returns
    -------
    Collection
    """
    name = hashlib.sha256(str(Path(manifest).resolve()).encode()).hexdigest()[:16]
    store, denied = Workspace(root / "evaluated" / name).store, Workspace(root).denied_tracks
    tracks = label_splits(read_catalog(manifest, denied()).tracks)
    if decode:
        extract_clips(tracks, store, range(N_BUCKETS), denied=denied)
    return Collection.load(store, tracks)


def _resolve(name: str, collection: Collection) -> Encoder:
    if name == RANDOM:
        return RandomEncoder()
    if name == BASELINE:
        training = collection.of("train")
        return fit_baseline(hear_clips(training.store, training.clips, "batches heard"))
    return load_encoder(Path(name))


def _short_name(name: str) -> str:
    return name.rstrip("/")
