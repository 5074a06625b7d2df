"""Hubness: whether some clips are everyone's neighbour, and others nobody's.

In many dimensions a few points tend to be near to all others (Radovanović et al. 2010, "Hubs in
Space"). A search over such embeddings gives the same tracks whatever is asked, at an average
precision that may still look good. Clips of the query's own track are left out: they are what a
search would leave out, and would hide the rest.
"""

from typing import TypedDict

import numpy as np

from ml.evaluation.metrics import (
    FloatArray,
    IndexArray,
    euclidean_distances,
    k_occurrences,
    skewness,
)

_BLOCK = 64  # queries ranked together: 20 MB of float64 distances for 40,000 clips


class HubnessRow(TypedDict):
    """Hubness of one encoder's embeddings.

    ``skew`` is the skewness of how often each clip is among the nearest of another, near 0 without
    hubs; ``never_retrieved`` the share of clips that are among nobody's.
    """

    encoder: str
    skew: float
    never_retrieved: float


def measure_hubness(
    encoder: str, embeddings: FloatArray, tracks: IndexArray, neighbours: int
) -> HubnessRow:
    """Let each clip query those of all other tracks, and count who is found.

    Parameters
    ----------
    encoder : str
        Name for the row.
    embeddings : np.ndarray [shape=(clips, d)]
        One vector per clip.
    tracks : np.ndarray of int [shape=(clips,)]
        Number of each clip's track.
    neighbours : int
        How many nearest count; fewer where there are not as many clips of other tracks.

    Returns
    -------
    HubnessRow
        NaN if all clips are of one track.
    """
    vectors = np.asarray(embeddings, dtype=np.float64)
    k = min(neighbours, len(tracks) - int(np.bincount(tracks).max()))
    if k < 1:
        return HubnessRow(encoder=encoder, skew=float("nan"), never_retrieved=float("nan"))
    occurrences = np.zeros(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = euclidean_distances(vectors[block], vectors)
        distances[tracks[block, None] == tracks[None]] = np.inf
        occurrences += k_occurrences(distances, k)
    return HubnessRow(
        encoder=encoder,
        skew=skewness(occurrences),
        never_retrieved=float(np.mean(occurrences == 0)),
    )
