"""A contest of encoders: each on the same clips, and how surely the challenger differs from each.

The differences are paired: both encoders saw the same resampled tracks, so what makes a track easy
for both cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ml.collection import Collection
from ml.encoders import Encoder
from ml.evaluation.comparison import score_encoders
from ml.evaluation.hubness import HubnessRow, measure_hubness
from ml.evaluation.labels import EvaluationSettings
from ml.evaluation.scores import Score, ScoreRow, difference, to_rows


class DifferenceRow(TypedDict):
    """The challenger's mAP less another's, with its bootstrap interval over tracks."""

    against: str
    protocol: str
    annotation: str
    gain: float
    low: float
    high: float


class CategoryRow(TypedDict):
    """Average precision of one genre or mood by the paper's protocol, and its interval."""

    encoder: str
    annotation: str
    category: str
    average_precision: float
    chance: float
    low: float
    high: float


@dataclass(frozen=True)
class Contest:
    """What came out, on one set of clips.

    Parameters
    ----------
    rows : list of ScoreRow
        A row for each encoder, protocol and annotation.
    differences : list of DifferenceRow
        A row for each other encoder, protocol and annotation that both have.
    hubness : list of HubnessRow
        A row for each encoder.
    categories : list of CategoryRow
        A row for each encoder, genre and mood.
    embeddings : np.ndarray of float32 [shape=(clips, 128)]
        The challenger's.
    """

    rows: list[ScoreRow]
    differences: list[DifferenceRow]
    hubness: list[HubnessRow]
    categories: list[CategoryRow]
    embeddings: NDArray[np.float32]


def hold_contest(
    encoders: Mapping[str, Encoder],
    challenger: str,
    collection: Collection,
    settings: EvaluationSettings,
) -> Contest:
    """Score encoders on the same clips, and the challenger against each.

    Parameters
    ----------
    encoders : mapping of str to Encoder
        By the name they have in the rows.
    challenger : str
        One of them.
    collection : Collection
        Clips with their labels.
    settings : EvaluationSettings
        The same for all.

    Returns
    -------
    Contest
    """
    labels = collection.labels
    heard = list(score_encoders(encoders, collection, settings))
    vectors = {name: embeddings for name, embeddings, _ in heard}
    scores = {name: found for name, _, found in heard}
    hubness = [
        measure_hubness(name, found, labels.tracks, settings.neighbours)
        for name, found in vectors.items()
    ]
    differences = [
        row
        for name in encoders
        if name != challenger
        for row in _differ(name, scores[challenger], scores[name], settings)
    ]
    categories = [row for name, found in scores.items() for row in _list_categories(name, found)]
    return Contest(to_rows(scores), differences, hubness, categories, vectors[challenger])


def _list_categories(encoder: str, scores: list[Score]) -> list[CategoryRow]:
    return [
        CategoryRow(
            encoder=encoder,
            annotation=score.annotation,
            category=category.name,
            average_precision=category.average_precision,
            chance=category.chance,
            low=category.low,
            high=category.high,
        )
        for score in scores
        if score.protocol == "paper" and score.annotation != "track"
        for category in score.categories
    ]


def _differ(
    against: str, scores: list[Score], others: list[Score], settings: EvaluationSettings
) -> list[DifferenceRow]:
    by_column = {(score.protocol, score.annotation): score for score in others}
    rows = []
    for score in scores:
        other = by_column.get((score.protocol, score.annotation))
        if other is not None:
            gain, low, high = difference(score, other, settings.confidence)
            row = DifferenceRow(
                against=against,
                protocol=score.protocol,
                annotation=score.annotation,
                gain=gain,
                low=low,
                high=high,
            )
            rows.append(row)
    return rows
