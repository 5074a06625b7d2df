"""What an evaluation is asked: clips with their labels, the annotations in them, the settings."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ml.errors import EvaluationError
from ml.evaluation.metrics import IndexArray

logger = logging.getLogger(__name__)

ANNOTATIONS = ("genre", "mood", "track")
PROTOCOL_MEANINGS = {
    "paper": "pairs of clips within a category against pairs across it, as in the paper (section "
    "3.1); for genre and mood, pairs of one track make it easy",
    "xt": "the same without pairs of one track: the honest figure for genre and mood",
    "artist": "the same without pairs of one artist: what is left once a voice or a band gives "
    "nothing away",
    "full": "each clip queries all others, as a search does",
}
PROTOCOLS = tuple(PROTOCOL_MEANINGS)


@dataclass(frozen=True)
class EvaluationSettings:
    """How clips are drawn, scored and resampled.

    Parameters
    ----------
    protocols : tuple of str
        Some of `PROTOCOLS`; ``ml.evaluation.protocols`` says more of them.
    annotations : tuple of str
        Some of `ANNOTATIONS`.
    inside, outside : int
        Most clips that a draw takes in a category and out of it (100 and 100 in Jansen 2018).
    draws : int
        Seeded draws of each category, averaged.
    resamples : int
        Bootstrap resamples of the tracks; 0 leaves the intervals NaN.
    confidence : float
        Of the intervals, between 0 and 1.
    neighbours : int
        The k of precision at k and of hubness.
    seed : int
        Of the draws and of the resamples: the same for encoders that are compared.
    workers : int
        Threads, wherever the rows of a large catalogue are ranked.
    """

    protocols: tuple[str, ...] = PROTOCOLS
    annotations: tuple[str, ...] = ANNOTATIONS
    inside: int = 100
    outside: int = 100
    draws: int = 5
    resamples: int = 200
    confidence: float = 0.95
    neighbours: int = 10
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        unknown = {*self.protocols} - {*PROTOCOLS} | {*self.annotations} - {*ANNOTATIONS}
        if unknown or not self.protocols or not self.annotations:
            raise EvaluationError(
                f"Choose protocols among {PROTOCOLS} and annotations among {ANNOTATIONS}; "
                f"got {self.protocols} and {self.annotations}."
            )
        if min(self.inside, self.outside, self.draws, self.neighbours, self.workers) < 1:
            raise EvaluationError(
                "inside, outside, draws, neighbours and workers must each be at least 1."
            )


@dataclass(frozen=True)
class Annotation:
    """One way of sorting clips into categories; a clip may be in several, or in none.

    Parameters
    ----------
    name : str
        One of `ANNOTATIONS`.
    categories : tuple of str
        Their names, sorted.
    membership : scipy.sparse.csr_array of float32 [shape=(clips, categories)]
        1 where the clip is in the category.
    """

    name: str
    categories: tuple[str, ...]
    membership: sparse.csr_array

    @cached_property
    def labelled(self) -> IndexArray:
        """The clips that are in any category; the others are neither positive nor negative."""
        labelled: IndexArray = np.flatnonzero(np.diff(self.membership.indptr))
        return labelled

    @cached_property
    def _by_category(self) -> sparse.csc_array:
        return self.membership.tocsc()

    def members(self, category: int) -> IndexArray:
        """Clips in a category, ascending."""
        start, stop = self._by_category.indptr[category : category + 2]
        members: IndexArray = self._by_category.indices[start:stop].astype(np.intp)
        return members


@dataclass(frozen=True)
class LabelledClips:
    """The labels of n clips, one entry per clip in each sequence.

    Parameters
    ----------
    track_ids : Sequence[str]
        The track that each clip was cut from.
    genres, moods : Sequence[tuple[str, ...]]
        Values of each clip's track; empty where it is unlabelled.
    artists : Sequence[str]
        Artist of each clip's track, empty where unknown (such a track is an artist of its own);
        an empty sequence means that no artist is known.
    """

    track_ids: Sequence[str]
    genres: Sequence[tuple[str, ...]]
    moods: Sequence[tuple[str, ...]]
    artists: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.genres), len(self.moods), len(self.artists) or len(self)}
        if lengths != {len(self)}:
            raise EvaluationError(
                f"Give genres, moods and artists for each of the {len(self)} clips: got "
                f"{len(self.genres)}, {len(self.moods)} and {len(self.artists)}."
            )

    def __len__(self) -> int:
        return len(self.track_ids)

    @cached_property
    def tracks(self) -> IndexArray:
        """Number of each clip's track, in the order of the track ids."""
        return _codes(self.track_ids)

    @cached_property
    def artist_codes(self) -> IndexArray:
        """Number of each clip's artist; the same for all clips of a track."""
        artists = self.artists or [""] * len(self)
        # A track whose clips disagree keeps one name, so that its own pairs are always left out.
        of_track = dict(zip(self.track_ids, artists, strict=True))
        names = [("artist", of_track[t]) if of_track[t] else ("track", t) for t in self.track_ids]
        return _codes(["/".join(name) for name in names])

    def sorted_by_track(self) -> tuple[IndexArray, "LabelledClips"]:
        """Order the clips by track id, keeping the order within each track.

        Returns
        -------
        order : np.ndarray of int [shape=(n,)]
            Indices that sort the clips (and their embeddings).
        labels : LabelledClips
            The labels in that order.
        """
        order = np.argsort(np.asarray(self.track_ids), kind="stable")
        return order, LabelledClips(
            [self.track_ids[i] for i in order],
            [self.genres[i] for i in order],
            [self.moods[i] for i in order],
            [self.artists[i] for i in order] if self.artists else (),
        )

    def annotation(self, name: str) -> Annotation:
        """Sort the clips into the categories of one annotation.

        Parameters
        ----------
        name : str
            ``"genre"``, ``"mood"`` or ``"track"`` (each track is a category).

        Returns
        -------
        Annotation
            Its categories and which clips are in them.
        """
        values: Sequence[tuple[str, ...]]
        if name == "track":
            values = [(track,) for track in self.track_ids]
        else:
            values = {"genre": self.genres, "mood": self.moods}[name]
        categories = sorted({value for clip in values for value in clip})
        columns = {category: column for column, category in enumerate(categories)}
        rows = [(row, columns[value]) for row, clip in enumerate(values) for value in {*clip}]
        row, column = np.array(rows, dtype=np.intp).reshape(-1, 2).T
        ones = np.ones(len(rows), dtype=np.float32)
        shape = (len(values), len(categories))
        return Annotation(name, tuple(categories), sparse.csr_array((ones, (row, column)), shape))


def _codes(names: Sequence[str]) -> NDArray[np.intp]:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)
