"""Generated unit vectors as an index of music holds them: in clusters, tracks, and moments of them.

Drawn from a seed, so that every run and every machine measures the same points.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DIMENSION = 128
TRACKS_PER_CLUSTER = 100
TRACK_SPREAD, MOMENT_SPREAD = 0.8, 0.5  # beside clusters whose centres have spread 1
TRACKS_AT_A_TIME = 10_000

Vectors = NDArray[np.float32]


def draw_clips(tracks: int, clips: int, seed: int = 0) -> Vectors:
    """Draw clips at random moments: those of one track lie together, tracks lie in clusters.

    Parameters
    ----------
    tracks, clips : int
        How many tracks, and clips of each.
    seed : int
        Of the draws.

    Returns
    -------
    np.ndarray [tracks * clips, 128]
        float32 of norm 1, track by track.
    """
    return np.concatenate(
        [
            _unit(centre + MOMENT_SPREAD * rng.standard_normal(centre.shape, np.float32))
            for centre, rng in _draw_tracks(tracks, clips, seed)
        ]
    )


def draw_windows(tracks: int, windows: int, seed: int = 0) -> Vectors:
    """Draw windows that overlap by half, so that neighbours in time are nearly the same point.

    A window is the sum of two halves, and shares one with the next.

    Parameters
    ----------
    tracks, windows : int
        How many tracks, and windows of each.
    seed : int
        Of the draws.

    Returns
    -------
    np.ndarray [tracks * windows, 128]
        float32 of norm 1, track by track, in time.
    """
    parts = []
    for centre, rng in _draw_tracks(tracks, windows, seed):
        shape = (len(centre), windows + 1, DIMENSION)
        halves = rng.standard_normal(shape, np.float32)
        parts.append(_unit(centre + MOMENT_SPREAD * (halves[:, 1:] + halves[:, :-1]) / 2**0.5))
    return np.concatenate(parts)


def tile(vectors: Vectors, rows: int, seed: int = 0) -> Vectors:
    """Repeat vectors to so many rows, each time a little elsewhere.

    Parameters
    ----------
    vectors : np.ndarray [n, 128]
        Embeddings of real music, unit vectors.
    rows : int
        How many to give.
    seed : int
        Of the noise, whose norm is about a fifth of a vector's.

    Returns
    -------
    np.ndarray [rows, 128]
        float32 of norm 1; the first `n` are the given ones.
    """
    repeated = np.resize(vectors, (rows, DIMENSION)).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    noise[: len(vectors)] = 0
    return _unit(repeated + 0.2 / DIMENSION**0.5 * noise)


def _draw_tracks(
    tracks: int, moments: int, seed: int
) -> Iterator[tuple[Vectors, np.random.Generator]]:
    """Centres of some tracks at a time, each repeated for its moments: [n, moments, 128]."""
    rng = np.random.default_rng(seed)
    clusters = max(2, tracks // TRACKS_PER_CLUSTER)
    centres = rng.standard_normal((clusters, DIMENSION), np.float32)
    for first in range(0, tracks, TRACKS_AT_A_TIME):
        shape = (min(TRACKS_AT_A_TIME, tracks - first), DIMENSION)
        own = TRACK_SPREAD * rng.standard_normal(shape, np.float32)
        own += centres[rng.integers(clusters, size=len(own))]
        yield np.repeat(own[:, None], moments, axis=1), rng


def _unit(vectors: Vectors) -> Vectors:
    flat: Vectors = vectors.reshape(-1, DIMENSION)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat
