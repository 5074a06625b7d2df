"""A map of the catalogue: vectors of tracks in two dimensions, neighbours kept near each other.

t-SNE [1] of at most `LANDMARKS` tracks; each further track lies between its nearest landmarks. How
far neighbourhoods survive is told by the trustworthiness [2].

[1] L. van der Maaten, G. Hinton: Visualizing data using t-SNE. JMLR 9, 2008.
[2] J. Venna, S. Kaski: Neighborhood preservation in nonlinear projection methods. ICANN 2001.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.manifold import TSNE, trustworthiness
from sklearn.neighbors import KNeighborsRegressor
from threadpoolctl import threadpool_limits

Float32 = npt.NDArray[np.float32]

LANDMARKS = 5_000
PERPLEXITY = 30.0
NEIGHBOURS = 10
"""Of a point, among which the trustworthiness looks."""
JUDGED = 2_000
"""Points that the trustworthiness is taken over: it costs their square."""
FEWEST = 8
"""Points below which there are no neighbourhoods to keep."""


class Projection(NamedTuple):
    """Points of a map."""

    points: Float32
    """``[N, 2]``, within 0 to 1 in both directions, in one scale."""
    trustworthiness: float
    """0 to 1: how far the neighbours on the map are neighbours in truth; NaN below `FEWEST`."""


def project(vectors: npt.NDArray[np.floating], seed: int = 0) -> Projection:
    """Lay vectors out in the plane; the same vectors and seed give the same map.

    Parameters
    ----------
    vectors : numpy.ndarray [shape=(N, D)]
        Finite, one a track.
    seed : int
        Chooses the landmarks and starts t-SNE.

    Returns
    -------
    Projection

    Raises
    ------
    ValueError
        The array is not two-dimensional, or holds NaN or infinite numbers.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError("Give an array of finite vectors, one a row.")
    if len(vectors) < FEWEST:
        return Projection(_spread_on_a_circle(len(vectors)), float("nan"))
    generator = np.random.default_rng(seed)
    points = _scale(_lay_out(vectors, generator, seed))
    judged = _sample(len(vectors), JUDGED, generator)
    neighbours = min(NEIGHBOURS, (len(judged) - 1) // 2)
    trust = trustworthiness(vectors[judged], points[judged], n_neighbors=neighbours)
    return Projection(points, float(trust))


def _lay_out(vectors: Float32, generator: np.random.Generator, seed: int) -> Float32:
    landmarks = _sample(len(vectors), LANDMARKS, generator)
    perplexity = min(PERPLEXITY, (len(landmarks) - 1) / 3)
    embedding = TSNE(perplexity=perplexity, init=_start(vectors[landmarks]), random_state=seed)
    # Threads add up in another order each time, and the descent makes much of the difference.
    with threadpool_limits(1):
        placed: Float32 = embedding.fit_transform(vectors[landmarks])
    if len(landmarks) == len(vectors):
        return placed
    between = KNeighborsRegressor(n_neighbors=3, weights="distance")
    return np.asarray(between.fit(vectors[landmarks], placed).predict(vectors), np.float32)


def _start(vectors: Float32) -> Float32:
    """Start from the two principal axes, small, as t-SNE is used to; equal vectors start apart."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    start = centred @ axes[:2].T
    start += 1e-3 * _spread_on_a_circle(len(vectors))
    return np.asarray(1e-4 * start / start[:, 0].std(), np.float32)


def _sample(total: int, size: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    if total <= size:
        return np.arange(total)
    return np.sort(generator.choice(total, size, replace=False))


def _scale(points: Float32) -> Float32:
    """Fit into the unit square, centred, shapes kept."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = max(float((high - low).max()), 1e-12)
    scaled: Float32 = np.clip(0.5 + (points - (low + high) / 2) / extent, 0, 1).astype(np.float32)
    return scaled


def _spread_on_a_circle(total: int) -> Float32:
    angles = 2 * np.pi * np.arange(total) / max(total, 1)
    return (0.5 + 0.4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)
