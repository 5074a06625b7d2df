"""Artist-disjoint folds of a catalogue, and scores averaged over them.

The sound of an artist tells much of the genre, so an artist's tracks all lie in one fold: what is
held out is by nobody who was heard in training. Artists are dealt out so that the folds are equal
in genres and in size.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.collection import Collection
from ml.errors import EvaluationError
from ml.evaluation.metrics import IndexArray
from ml.evaluation.resampling import score_interval
from ml.evaluation.scores import Score

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Fold:
    """Clips to learn from, to select by, and to judge by; no artist is in two of them.

    Parameters
    ----------
    number : int
        From 0.
    training, validation, held_out : Collection
        The validation clips are about a tenth of those outside the fold.
    """

    number: int
    training: Collection
    validation: Collection
    held_out: Collection


def assign_folds(tracks: pd.DataFrame, folds: int, seed: int) -> IndexArray:
    """Deal artists out to folds, the largest first, each to where its genres are rarest.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Columns `track_id`, `artist` (empty where unknown: such a track is an artist of its own)
        and `genres`.
    folds : int
        How many, at least 2.
    seed : int
        Decides among artists of equally many tracks, and among folds that are equally full.

    Returns
    -------
    np.ndarray of int [shape=(tracks,)]
        The fold of each track; the order of the tracks makes no difference.

    Raises
    ------
    EvaluationError
        There are fewer artists than folds.
    """
    artists = _group_by_artist(tracks)
    if not 2 <= folds <= len(artists):
        raise EvaluationError(
            f"{folds} folds of {len(artists)} artists cannot be made: ask for 2 to {len(artists)}."
        )
    generator = np.random.default_rng(seed)
    shuffled = [artists[place] for place in generator.permutation(len(artists))]
    order = generator.permutation(folds)
    genres = tracks["genres"].to_list()
    held: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    assigned = np.empty(len(tracks), dtype=np.intp)
    for rows in sorted(shuffled, key=len, reverse=True):
        own = Counter(genre for row in rows for genre in genres[row])
        fullness = [(sum(held[f][genre] for genre in own), sizes[f]) for f in range(folds)]
        fold = min(order, key=fullness.__getitem__)
        assigned[rows] = fold
        sizes[fold] += len(rows)
        held[fold] += own
    return assigned


def _group_by_artist(tracks: pd.DataFrame) -> list[list[int]]:
    """List the rows of each artist, in the order of the artists' names."""
    rows = defaultdict(list)
    for row, (track, artist) in enumerate(zip(tracks["track_id"], tracks["artist"], strict=True)):
        rows[("artist", artist) if artist else ("track", track)].append(row)
    return [rows[name] for name in sorted(rows)]


def split_folds(collection: Collection, folds: int, seed: int = 0) -> list[Fold]:
    """Split a collection into artist-disjoint folds, each with its training and validation.

    Parameters
    ----------
    collection : Collection
        Clips of any labelled catalogue.
    folds : int
        How many, at least 2.
    seed : int
        Of `assign_folds`.

    Returns
    -------
    list of Fold

    Raises
    ------
    EvaluationError
        There are too few artists.
    """
    tracks = collection.tracks
    assigned = assign_folds(tracks, folds, seed)
    return [_make_fold(collection, tracks, assigned, number, seed) for number in range(folds)]


def _make_fold(
    collection: Collection, tracks: pd.DataFrame, assigned: IndexArray, number: int, seed: int
) -> Fold:
    others = tracks[assigned != number].reset_index(drop=True)
    parts = min(round(1 / VALIDATION_SHARE), len(_group_by_artist(others)))
    selecting = assign_folds(others, parts, seed) == 0
    return Fold(
        number,
        _keep(collection, others[~selecting]),
        _keep(collection, others[selecting]),
        _keep(collection, tracks[assigned == number]),
    )


def _keep(collection: Collection, tracks: pd.DataFrame) -> Collection:
    kept = collection.clips["track_id"].isin(set(tracks["track_id"]))
    return Collection(collection.store, collection.clips[kept].reset_index(drop=True))


def average_folds(scores: Sequence[Score], confidence: float = 0.95) -> Score:
    """Average one protocol's and annotation's scores over folds, the bootstrap included.

    The folds hold other tracks and were resampled apart from each other (give each evaluation a
    seed of its own), so the mean over folds of their n-th resamples is a resample of the mean.

    Parameters
    ----------
    scores : sequence of Score
        One per fold, of one encoder, protocol and annotation.
    confidence : float
        Of the interval.

    Returns
    -------
    Score
        ``spread`` is the standard deviation over the folds, ``n`` the sum over them.

    Raises
    ------
    EvaluationError
        No scores, or not of one kind.
    """
    if len({(s.protocol, s.annotation, s.replicates.shape) for s in scores}) != 1:
        raise EvaluationError("Average scores of one protocol and annotation, one per fold.")
    first = scores[0]
    mean = float(np.mean([s.map for s in scores]))
    replicates: NDArray[np.float64] = np.mean([s.replicates for s in scores], axis=0)
    low, high = score_interval(replicates, mean, confidence)
    shared = set.intersection(*(set(s.details) for s in scores))
    return Score(
        first.protocol,
        first.annotation,
        mean,
        low,
        high,
        chance=float(np.mean([s.chance for s in scores])),
        n=sum(s.n for s in scores),
        spread=float(np.std([s.map for s in scores])),
        details={
            name: float(np.mean([s.details[name] for s in scores])) for name in sorted(shared)
        },
        replicates=replicates,
    )
