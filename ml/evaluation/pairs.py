"""The paper's pair protocol and its stricter readings: ranked pairs within and across a category.

Per category up to 100 clips in it and 100 out of it are drawn (Jansen 2018, the paper's [7]); pairs
within are positive, pairs across negative, and all are ranked by distance. ``xt`` leaves out pairs
of one track, ``artist`` those of one artist as well, from the very same draws.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ml.evaluation.labels import Annotation, EvaluationSettings, LabelledClips
from ml.evaluation.metrics import (
    FloatArray,
    IndexArray,
    average_precision,
    euclidean_distances,
    expected_average_precision,
)
from ml.evaluation.resampling import Multiplicity, resampled_average_precision, score_interval
from ml.evaluation.scores import CategoryScore, Score

PAIR_PROTOCOLS = ("paper", "xt", "artist")


@dataclass(frozen=True)
class Pairs:
    """Ranked pairs of clips, nearest first.

    Parameters
    ----------
    distances : np.ndarray of float32 [shape=(n,)]
        Euclidean distance of the two clips.
    relevant : np.ndarray of bool [shape=(n,)]
        Whether both are in the category.
    first, second : np.ndarray of int [shape=(n,)]
        The two clips.
    """

    distances: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    first: IndexArray
    second: IndexArray

    def kept(self, keep: NDArray[np.bool_]) -> "Pairs":
        """Keep the pairs marked True [shape=(n,)]."""
        return Pairs(self.distances[keep], self.relevant[keep], self.first[keep], self.second[keep])


def draw_clips(
    annotation: Annotation, category: int, draw: int, settings: EvaluationSettings
) -> tuple[IndexArray, IndexArray]:
    """Draw clips in a category, and labelled clips out of it.

    Seeded by the category's name, so that other categories, and the encoder, change nothing.

    Parameters
    ----------
    annotation : Annotation
        The clips' categories.
    category : int
        Which one.
    draw : int
        Number of the draw.
    settings : EvaluationSettings
        Numbers of clips, and the seed.

    Returns
    -------
    inside, outside : np.ndarray of int
        Clips, ascending, without repetition.
    """
    name = zlib.crc32(f"{annotation.name}/{annotation.categories[category]}".encode())
    generator = np.random.default_rng([settings.seed, draw, name])
    members = annotation.members(category)
    inside = members[_sample(len(members), settings.inside, generator)]
    # Places among the clips outside, moved on past each member: nothing of the catalogue's size.
    places = np.searchsorted(annotation.labelled, members) - np.arange(len(members))
    chosen = _sample(len(annotation.labelled) - len(members), settings.outside, generator)
    return inside, annotation.labelled[chosen + np.searchsorted(places, chosen, side="right")]


def _sample(size: int, most: int, generator: np.random.Generator) -> IndexArray:
    if size <= most:
        return np.arange(size)
    return np.sort(generator.choice(size, most, replace=False, shuffle=False))


def rank_pairs(embeddings: FloatArray, inside: IndexArray, outside: IndexArray) -> Pairs:
    """Rank the pairs within a category and across its border by Euclidean distance.

    Parameters
    ----------
    embeddings : np.ndarray [shape=(clips, d)]
        Vectors of all clips.
    inside, outside : np.ndarray of int [shape=(n,)], [shape=(m,)]
        The clips drawn.

    Returns
    -------
    Pairs
        n (n - 1) / 2 relevant pairs and n m others.
    """
    n, m = len(inside), len(outside)
    drawn = np.concatenate([inside, outside])
    left, right = _pair_places(n, m)
    distances = euclidean_distances(embeddings[inside], embeddings[drawn])[left, right]
    order = np.argsort(distances)
    left, right = left[order], right[order]
    return Pairs(distances[order], right < n, drawn[left], drawn[right])


@lru_cache(maxsize=16)
def _pair_places(n: int, m: int) -> tuple[IndexArray, IndexArray]:
    return np.triu_indices(n, k=1, m=n + m)


def pairs_kept(protocol: str, pairs: Pairs, labels: LabelledClips) -> NDArray[np.bool_]:
    """Which pairs a protocol ranks.

    Parameters
    ----------
    protocol : str
        One of `PAIR_PROTOCOLS`.
    pairs : Pairs
        Ranked pairs.
    labels : LabelledClips
        Tracks and artists of the clips.

    Returns
    -------
    np.ndarray of bool [shape=(n,)]
        All for ``paper``; for ``xt`` pairs of two tracks; for ``artist`` pairs of two artists.
    """
    if protocol == "paper":
        return np.ones(len(pairs.distances), dtype=bool)
    codes = labels.tracks if protocol == "xt" else labels.artist_codes
    different: NDArray[np.bool_] = codes[pairs.first] != codes[pairs.second]
    return different


@dataclass(frozen=True)
class _Drawn:
    """Average precision of one category in one draw, or its mean over the draws."""

    score: float
    chance: float
    replicates: NDArray[np.float32]  # [resamples]


def score_pairs(
    embeddings: FloatArray,
    labels: LabelledClips,
    annotation: Annotation,
    settings: EvaluationSettings,
    multiplicity: Multiplicity,
) -> list[Score]:
    """Score one annotation under the pair protocols that the settings ask for.

    Parameters
    ----------
    embeddings : np.ndarray [shape=(clips, d)]
        Vectors, sorted by track as the labels.
    labels : LabelledClips
        The clips' labels.
    annotation : Annotation
        The categories.
    settings : EvaluationSettings
        Draws and protocols.
    multiplicity : np.ndarray of float32 [shape=(tracks, resamples)]
        Bootstrap resamples of the tracks.

    Returns
    -------
    list of Score
        One per protocol in which any category has a pair of each kind.
    """
    protocols = [p for p in PAIR_PROTOCOLS if p in settings.protocols]
    if annotation.name == "track":  # without pairs of one track nothing would be relevant
        protocols = [p for p in protocols if p == "paper"]
    tasks = [(c, draw) for c in range(len(annotation.categories)) for draw in range(settings.draws)]

    def score(category: int, draw: int) -> list[_Drawn | None]:
        clips = draw_clips(annotation, category, draw, settings)
        pairs = rank_pairs(embeddings, *clips)
        kept = [pairs.kept(pairs_kept(protocol, pairs, labels)) for protocol in protocols]
        return [_score_draw(pairs, labels.tracks, multiplicity) for pairs in kept]

    run = Parallel(n_jobs=settings.workers, require="sharedmem", batch_size=32)
    drawn = run(delayed(score)(*task) for task in tasks) if protocols else []
    return [
        summary
        for protocol, results in zip(protocols, zip(*drawn, strict=True), strict=False)
        if (summary := _summarise(protocol, annotation, results, settings, multiplicity))
    ]


def _score_draw(pairs: Pairs, tracks: IndexArray, multiplicity: Multiplicity) -> _Drawn | None:
    positives = int(np.count_nonzero(pairs.relevant))
    if not 0 < positives < len(pairs.relevant):
        return None  # a single member, or nothing outside: no ranking to speak of
    first, second = tracks[pairs.first], tracks[pairs.second]
    return _Drawn(
        average_precision(pairs.distances, pairs.relevant),
        float(expected_average_precision(positives, len(pairs.relevant))),
        resampled_average_precision(pairs.distances, pairs.relevant, first, second, multiplicity),
    )


def _summarise(
    protocol: str,
    annotation: Annotation,
    results: Sequence[_Drawn | None],
    settings: EvaluationSettings,
    multiplicity: Multiplicity,
) -> Score | None:
    """Mean over the draws of a category, then over the categories that could be scored."""
    unknown = np.full(multiplicity.shape[1], np.nan, dtype=np.float32)
    shape = (len(annotation.categories), settings.draws)
    points = np.array([r.score if r else np.nan for r in results]).reshape(shape)
    chances = np.array([r.chance if r else np.nan for r in results]).reshape(shape)
    resampled = np.array([r.replicates if r else unknown for r in results]).reshape(*shape, -1)
    scored = ~np.isnan(points).all(axis=1)
    if not scored.any():
        return None
    by_category, chance_by_category = _mean(points[scored], 1), _mean(chances[scored], 1)
    # A resample that holds a track m times holds that category m times; genres stay what they are.
    weights = multiplicity[scored] if annotation.name == "track" else np.float32(1)
    by_resample = _mean(resampled[scored], 1)
    replicates = _mean(by_resample, 0, weights)
    low, high = score_interval(replicates, float(by_category.mean()), settings.confidence)
    names = [name for name, known in zip(annotation.categories, scored, strict=True) if known]
    return Score(
        protocol,
        annotation.name,
        float(by_category.mean()),
        low,
        high,
        float(chance_by_category.mean()),
        n=len(names),
        spread=float(np.nanstd(_mean(points[scored], 0))),
        categories=tuple(
            CategoryScore(name, score, chance, *ends)
            for name, score, chance, ends in zip(
                names,
                by_category.tolist(),
                chance_by_category.tolist(),
                _bound(annotation, by_resample, by_category, settings),
                strict=True,
            )
        ),
        replicates=replicates,
    )


def _bound(
    annotation: Annotation,
    replicates: NDArray[np.float64],
    scores: NDArray[np.float64],
    settings: EvaluationSettings,
) -> list[tuple[float, float]]:
    """Interval of each category [categories]; a track has none of its own."""
    if annotation.name == "track":
        return [(math.nan, math.nan)] * len(scores)
    pairs = zip(replicates, scores.tolist(), strict=True)
    return [score_interval(resampled, score, settings.confidence) for resampled, score in pairs]


def _mean(
    values: NDArray[np.float64], axis: int, weights: NDArray[np.float32] | np.float32 | None = None
) -> NDArray[np.float64]:
    """Weighted mean of what is not NaN; NaN where nothing is."""
    weight = np.where(np.isnan(values), 0, 1 if weights is None else weights)
    total = weight.sum(axis=axis)
    weighted = (np.nan_to_num(values) * weight).sum(axis=axis)
    unknown = np.full(total.shape, np.nan)
    mean: NDArray[np.float64] = np.divide(weighted, total, out=unknown, where=total > 0)
    return mean
