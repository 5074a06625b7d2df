"""Evaluation of an encoder's embeddings against labels: Table 1 of the paper, and stricter columns.

Conventions
-----------
- One embedding per clip, one set of labels per track; a clip may have several genres and moods.
- Clips without a label of an annotation are neither positive nor negative in it.
- A category with a single clip, or with nothing outside it, has no ranking and is left out of the
  mean; an annotation without any category left gives no score (logged); no score at all raises.
- Clips are sorted by track id first, so their order does not matter (the order of one track's own
  clips decides which of them a draw picks, and only where a category has more than are drawn).
- Draws and resamples depend on the seed and on the names of categories, never on the encoder:
  encoders are compared on the same clips.

Protocols
---------
paper
    Section 3.1, after Jansen 2018: per category, pairs of up to 100 clips in it against pairs with
    100 clips out of it; average precision; mean over categories; mean over seeded draws. For track
    the category is the track.
xt
    The same draws without pairs of one track: the honest column for genre and mood. No track.
artist
    The same draws without pairs of one artist.
full
    Every clip queries all others; mean average precision per query, precision at k, hubness.

Intervals come from the bootstrap over tracks (Efron 1979): tracks are drawn with replacement, and
the pairs already ranked are weighted by how often their tracks were drawn, so nothing is ranked
twice (``resampling.resampled_average_precision`` says how a track's own copies are kept apart,
``resampling.interval`` how the bias of resampling is taken out).
"""

import logging

import numpy as np

from ml.errors import EvaluationError
from ml.evaluation.labels import ANNOTATIONS, PROTOCOLS, EvaluationSettings, LabelledClips
from ml.evaluation.metrics import FloatArray
from ml.evaluation.pairs import score_pairs
from ml.evaluation.resampling import resample_tracks
from ml.evaluation.retrieval import score_collection
from ml.evaluation.scores import (
    Score,
    ScoreRow,
    details_markdown,
    plot_table,
    table,
    table_markdown,
    to_rows,
)

__all__ = [
    "ANNOTATIONS",
    "PROTOCOLS",
    "EvaluationSettings",
    "LabelledClips",
    "Score",
    "ScoreRow",
    "details_markdown",
    "evaluate",
    "plot_table",
    "table",
    "table_markdown",
    "to_rows",
    "validate",
]

logger = logging.getLogger(__name__)


def validate(embeddings: FloatArray, labels: LabelledClips) -> None:
    """Refuse embeddings that cannot be scored.

    Parameters
    ----------
    embeddings : np.ndarray [shape=(clips, d)]
        One vector per clip.
    labels : LabelledClips
        Labels of the same clips.

    Raises
    ------
    EvaluationError
        No clips, shapes that do not match, or values that are not finite.
    """
    if not len(labels):
        raise EvaluationError("There are no clips to evaluate: check the split and its clips.")
    if embeddings.ndim != 2 or len(embeddings) != len(labels):
        raise EvaluationError(
            f"Give one embedding per clip: got shape {embeddings.shape} for {len(labels)} clips."
        )
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(broken):
        raise EvaluationError(
            f"{len(broken)} embeddings are not finite (the first is of track "
            f"{labels.track_ids[broken[0]]!r}): train the encoder again or leave it out."
        )


def evaluate(
    embeddings: FloatArray,
    labels: LabelledClips,
    settings: EvaluationSettings | None = None,
) -> list[Score]:
    """Score embeddings under each protocol for each annotation.

    Parameters
    ----------
    embeddings : np.ndarray of float32 [shape=(clips, 128)]
        One vector per clip.
    labels : LabelledClips
        Tracks, artists, genres and moods of the clips.
    settings : EvaluationSettings, optional
        Protocols, annotations, draws, resamples, seed.

    Returns
    -------
    list of Score
        In the order of `PROTOCOLS`, then of the annotations; without what could not be scored.

    Raises
    ------
    EvaluationError
        The embeddings cannot be scored (see `validate`), or no annotation has a usable category.
    """
    settings = settings or EvaluationSettings()
    validate(embeddings, labels)
    order, ordered = labels.sorted_by_track()
    vectors = np.asarray(embeddings, dtype=np.float64)[order]
    generator = np.random.default_rng(settings.seed)
    tracks = 1 + int(ordered.tracks.max())
    multiplicity = resample_tracks(tracks, settings.resamples, generator)
    annotations = [ordered.annotation(name) for name in settings.annotations]
    scores = [
        score
        for annotation in annotations
        for score in score_pairs(vectors, ordered, annotation, settings, multiplicity)
    ]
    if "full" in settings.protocols:
        scores += score_collection(vectors, ordered, annotations, settings, multiplicity)
    _report_missing(scores, settings)
    return sorted(scores, key=lambda score: PROTOCOLS.index(score.protocol))


def _report_missing(scores: list[Score], settings: EvaluationSettings) -> None:
    if not scores:
        raise EvaluationError(
            f"Nothing could be scored for {', '.join(settings.annotations)}: label at least two "
            "categories with two clips each, and check that the split holds several tracks."
        )
    for name in settings.annotations:
        if all(score.annotation != name for score in scores):
            logger.warning(
                "No %s could be scored: no category has two clips in it and one out.", name
            )
