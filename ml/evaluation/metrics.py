"""Metrics of retrieval, as pure functions on arrays.

Conventions
-----------
- *Distances* rank: the smallest comes first. ``+inf`` is allowed (last of all), NaN is not.
- *Relevant* items are marked ``True``; a ranking without one has no average precision, so it is
  refused rather than scored 0.
- *Ties* belong together, as in scikit-learn: precision is only read after a whole group of equal
  distances, so no order within the group is favoured. Where a group crosses the k-th place, its
  members share the places that are left.
- *Chance* is the exact expectation over all orders of the same items.

Metrics
-------
- Average precision: `average_precision`, the sum of precision over recall's steps, not
  interpolated [1]_. (``ml.evaluation.resampling`` has it for many bootstrap resamples at once.)
- Its chance: `expected_average_precision` [2]_.
- Precision at k: `precision_at`. How often items are retrieved, and hubness, the skewness of that
  [3]_: `k_occurrences`, `skewness`.

References
----------
.. [1] C. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval", 2008, ch. 8.4.
.. [2] Y. Bestgen, "Exact Expected Average Precision of the Random Baseline for System Evaluation",
   Prague Bulletin of Mathematical Linguistics 103, 2015.
.. [3] M. Radovanović, A. Nanopoulos, M. Ivanović, "Hubs in Space: Popular Nearest Neighbors in
   High-Dimensional Data", JMLR 11, 2010.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from ml.errors import EvaluationError

FloatArray = NDArray[np.floating[Any]]
IndexArray = NDArray[np.intp]

# Relative to the squared norms: what lies below is rounding, not distance (float32 keeps 1e-7).
_ZERO_SQUARED_DISTANCE = 1e-12


def validate(distances: FloatArray, relevant: NDArray[np.bool_]) -> None:
    """Refuse a ranking that has no average precision.

    Parameters
    ----------
    distances : np.ndarray [shape=(n,)]
        Distance of each item.
    relevant : np.ndarray of bool [shape=(n,)]
        Whether each item is relevant.

    Raises
    ------
    EvaluationError
        Shapes differ, a distance is NaN, or nothing is relevant.
    """
    if distances.ndim != 1 or distances.shape != relevant.shape:
        raise EvaluationError(
            f"Give one distance and one mark per item: got shapes {distances.shape} "
            f"and {relevant.shape}."
        )
    if np.isnan(distances).any():
        raise EvaluationError("A distance is NaN: check the embeddings for NaN before ranking.")
    if not relevant.any():
        raise EvaluationError("No item is relevant: leave this ranking out of the mean.")


def average_precision(distances: FloatArray, relevant: NDArray[np.bool_]) -> float:
    """Average precision of one ranking; equals scikit-learn's, ties included.

    Parameters
    ----------
    distances : np.ndarray [shape=(n,)]
        Distance of each item; the smallest ranks first.
    relevant : np.ndarray of bool [shape=(n,)]
        Whether each item is relevant.

    Returns
    -------
    float
        Between 0 and 1; 1 when all relevant items come first.

    Raises
    ------
    EvaluationError
        See `validate`.

    Examples
    --------
    >>> average_precision(np.array([0.1, 0.2, 0.3]), np.array([True, False, True]))
    0.8333333333333333
    """
    validate(distances, relevant)
    return average_precision_within(np.sort(distances[relevant]), np.sort(distances))


def average_precision_within(positives: FloatArray, pool: FloatArray) -> float:
    """Average precision from sorted distances, for callers that share one sorted pool.

    Parameters
    ----------
    positives : np.ndarray [shape=(p,)]
        Distances of the relevant items, ascending, p > 0.
    pool : np.ndarray [shape=(n,)]
        Distances of all items, the relevant ones included, ascending.

    Returns
    -------
    float
        Mean over the relevant items of (relevant at most as far) / (items at most as far).
    """
    last = np.flatnonzero(np.append(positives[1:] > positives[:-1], True))  # of each group of ties
    retrieved = np.searchsorted(pool, positives[last], side="right")
    tied = np.diff(last, prepend=-1)
    return float(np.sum(tied * (last + 1) / retrieved) / len(positives))


def expected_average_precision(
    n_positive: ArrayLike, n_total: ArrayLike
) -> np.float64 | NDArray[np.float64]:
    """Average precision to expect of a random order: the level of chance.

    With R relevant among N items, the item at rank i is relevant with probability R / N, and then
    (i - 1)(R - 1) / (N - 1) relevant ones are expected before it. Summing precision over the ranks
    gives ``q + (1 - q) H(N) / N`` with ``q = (R - 1) / (N - 1)`` and H the harmonic number.

    Parameters
    ----------
    n_positive : array_like of int
        Number of relevant items, at least 1.
    n_total : array_like of int
        Number of all items, at least ``n_positive``.

    Returns
    -------
    np.float64 or np.ndarray
        The expectation, in the shape that the arguments broadcast to.

    Examples
    --------
    >>> round(float(expected_average_precision(4_950, 14_950)), 4)  # 100 clips in, 100 out
    0.3315
    >>> round(float(expected_average_precision(45, 1_045)), 3)  # a track's ten clips, 100 out
    0.049
    """
    positive = np.asarray(n_positive, dtype=np.float64)
    total = np.asarray(n_total, dtype=np.float64)
    share = (positive - 1) / np.maximum(total - 1, 1)
    harmonic = digamma(total + 1) + np.euler_gamma
    expected: np.float64 | NDArray[np.float64] = share + (1 - share) * harmonic / total
    return expected


def euclidean_distances(a: FloatArray, b: FloatArray) -> NDArray[np.float32]:
    """Euclidean distances between the rows of two matrices.

    Computed in float64, so that the float32 result is right to its last digits; what is under
    float32's resolution is exactly 0, so that equal vectors tie.

    Parameters
    ----------
    a : np.ndarray [shape=(n, d)]
        Vectors.
    b : np.ndarray [shape=(m, d)]
        Vectors.

    Returns
    -------
    np.ndarray of float32 [shape=(n, m)]
        ``|a[i] - b[j]|``.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    a_norms = np.einsum("nd,nd->n", a, a)
    b_norms = np.einsum("md,md->m", b, b)
    squared = (-2 * a) @ b.T
    squared += a_norms[:, None]
    squared += b_norms
    squared[squared < _ZERO_SQUARED_DISTANCE * (a_norms.max() + b_norms.max())] = 0
    return np.sqrt(squared, out=squared).astype(np.float32)


def precision_at(positives: FloatArray, pool: FloatArray, k: int) -> float:
    """Share of relevant items among the k nearest; a tie across place k shares what is left.

    Parameters
    ----------
    positives : np.ndarray [shape=(p,)]
        Distances of the relevant items, ascending.
    pool : np.ndarray [shape=(n,)]
        Distances of all items, the relevant ones included, ascending.
    k : int
        Number of neighbours, 1 to n.

    Returns
    -------
    float
        Precision at k, as expected when ties are broken by chance.

    Examples
    --------
    >>> precision_at(np.array([0.1, 0.3]), np.array([0.1, 0.2, 0.3, 0.3]), k=3)
    0.5
    """
    nearer, n_nearer = (np.searchsorted(items, pool[k - 1], "left") for items in (positives, pool))
    upto, n_upto = (np.searchsorted(items, pool[k - 1], "right") for items in (positives, pool))
    tied = (upto - nearer) * (k - n_nearer) / (n_upto - n_nearer)
    return float((nearer + tied) / k)


def k_occurrences(distances: FloatArray, k: int) -> NDArray[np.float64]:
    """How often each item is among the k nearest of the queries; ties share as in `precision_at`.

    Parameters
    ----------
    distances : np.ndarray [shape=(queries, items)]
        Distances, ``+inf`` for an item that is no candidate.
    k : int
        Number of neighbours, 1 to the number of candidates.

    Returns
    -------
    np.ndarray [shape=(items,)]
        The occurrences; they sum to k times the number of queries.
    """
    last = np.partition(distances, k - 1, axis=1)[:, k - 1]
    queries, items = np.nonzero(distances <= last[:, None])
    tied = distances[queries, items] == last[queries]
    n_tied = np.bincount(queries[tied], minlength=len(last))
    n_nearer = np.bincount(queries[~tied], minlength=len(last))
    shares = np.where(tied, ((k - n_nearer) / n_tied)[queries], 1.0)
    counts: NDArray[np.float64] = np.bincount(items, shares, distances.shape[1]).astype(np.float64)
    return counts


def skewness(occurrences: FloatArray) -> float:
    """Skewness of the k-occurrence, the usual measure of hubness (Radovanović 2010).

    Parameters
    ----------
    occurrences : np.ndarray [shape=(items,)]
        How often each item is among the k nearest of another.

    Returns
    -------
    float
        0 when every item occurs as often as the others; above 1, hubs crowd out the rest.
    """
    deviations = np.asarray(occurrences, dtype=np.float64) - np.mean(occurrences)
    variance = float(np.mean(deviations**2))
    if variance < 1e-12:  # all alike, up to the rounding of shared places
        return 0.0
    return float(np.mean(deviations**3) / variance**1.5)
