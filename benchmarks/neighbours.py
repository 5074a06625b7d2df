"""The true neighbours of vectors, by comparing each with all: what searches are judged by."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.vectors import Vectors

K = 10
QUERIES_AT_A_TIME = 16

Numbers = NDArray[np.int64]


def find_rows(vectors: Vectors, queries: Vectors) -> Numbers:
    """Find the nearest rows of each query: [queries, 10], in no order."""
    found = [np.argpartition(-row, K)[:K] for row in _compare(vectors, queries)]
    return np.array(found, np.int64)


def find_tracks(vectors: Vectors, queries: Vectors, own: Numbers, per_track: int) -> Numbers:
    """Find the nearest tracks but the query's own: [queries, 10], in no order.

    Parameters
    ----------
    vectors : np.ndarray [tracks * per_track, 128]
        Track by track.
    queries : np.ndarray [queries, 128]
        Vectors.
    own : np.ndarray [queries]
        The track of each query, which is left out.
    per_track : int
        Rows of a track.
    """
    found = np.empty((len(own), K), np.int64)
    for place, row in enumerate(_compare(vectors, queries)):
        closeness = row.reshape(-1, per_track).max(axis=1)
        closeness[own[place]] = -np.inf
        found[place] = np.argpartition(-closeness, K)[:K]
    return found


def _compare(vectors: Vectors, queries: Vectors) -> Iterator[Vectors]:
    """Inner products of each query with all vectors."""
    for first in range(0, len(queries), QUERIES_AT_A_TIME):
        yield from queries[first : first + QUERIES_AT_A_TIME] @ vectors.T
