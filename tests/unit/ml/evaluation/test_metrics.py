"""Metrics against scikit-learn, naive loops and closed forms."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import skew
from sklearn.metrics import average_precision_score

from ml.errors import EvaluationError
from ml.evaluation import metrics
from ml.evaluation.metrics import (
    average_precision,
    euclidean_distances,
    expected_average_precision,
    k_occurrences,
    precision_at,
    skewness,
)

# Few distinct distances: most rankings drawn hold ties.
rankings = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40).filter(
    lambda items: any(relevant for _, relevant in items)
)
Ranking = list[tuple[int, bool]]


def as_arrays(ranking: Ranking) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    distances, relevant = zip(*ranking, strict=True)
    return np.array(distances, dtype=np.float32), np.array(relevant, dtype=bool)


def naive_average_precision(ranking: Ranking) -> float:
    precisions = []
    for distance, relevant in ranking:
        if relevant:
            retrieved = [is_relevant for other, is_relevant in ranking if other <= distance]
            precisions.append(sum(retrieved) / len(retrieved))
    return sum(precisions) / len(precisions)


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(metrics).failed == 0


@given(rankings)
def test_average_precision_equals_sklearn_and_a_loop_with_ties(ranking: Ranking) -> None:
    distances, relevant = as_arrays(ranking)
    measured = average_precision(distances, relevant)
    assert measured == pytest.approx(average_precision_score(relevant, -distances), abs=1e-12)
    assert measured == pytest.approx(naive_average_precision(ranking), abs=1e-12)


def test_average_precision_equals_sklearn_on_a_category_of_pairs() -> None:
    generator = np.random.default_rng(0)
    distances = generator.random(14_950, dtype=np.float32)
    relevant = generator.permutation(14_950) < 4_950
    expected = average_precision_score(relevant, -distances)
    assert average_precision(distances, relevant) == pytest.approx(expected, abs=1e-12)


def test_average_precision_is_one_when_all_relevant_come_first() -> None:
    assert average_precision(np.array([0.1, 0.2, 0.9]), np.array([True, True, False])) == 1


def test_average_precision_of_all_tied_is_the_share_of_relevant() -> None:
    assert average_precision(np.zeros(8), np.arange(8) < 3) == pytest.approx(3 / 8)


@given(rankings, st.integers(1, 10))
def test_average_precision_ignores_items_beyond_reach(ranking: Ranking, extra: int) -> None:
    distances, relevant = as_arrays(ranking)
    more = np.append(distances, np.full(extra, np.inf, np.float32))
    marks = np.append(relevant, np.zeros(extra, bool))
    assert average_precision(more, marks) == average_precision(distances, relevant)


@pytest.mark.parametrize(
    ("distances", "relevant"),
    [([0.1, 0.2], [False, False]), ([], []), ([0.1, np.nan], [True, False]), ([0.1], [True, True])],
)
def test_average_precision_refuses_what_has_none(
    distances: list[float], relevant: list[bool]
) -> None:
    with pytest.raises(EvaluationError):
        average_precision(np.array(distances), np.array(relevant, dtype=bool))


def test_chance_is_the_papers_for_its_pair_counts() -> None:
    assert expected_average_precision(4_950, 14_950) == pytest.approx(0.3315, abs=5e-5)
    assert expected_average_precision(45, 1_045) == pytest.approx(0.049, abs=5e-4)


@pytest.mark.parametrize(("positive", "total"), [(1, 1), (1, 7), (3, 7), (6, 7), (7, 7)])
def test_chance_equals_the_mean_over_every_order(positive: int, total: int) -> None:
    from itertools import combinations

    places = list(combinations(range(1, total + 1), positive))
    means = [np.mean([(hit + 1) / rank for hit, rank in enumerate(ranks)]) for ranks in places]
    assert expected_average_precision(positive, total) == pytest.approx(np.mean(means))


def test_chance_keeps_the_shape_of_its_arguments() -> None:
    assert np.shape(expected_average_precision([1, 2, 3], 10)) == (3,)


def test_distances_equal_numpys_norm() -> None:
    generator = np.random.default_rng(1)
    a = generator.normal(size=(5, 128)).astype(np.float32)
    b = generator.normal(size=(7, 128)).astype(np.float32)
    expected = np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)
    np.testing.assert_allclose(euclidean_distances(a, b), expected, rtol=1e-6)


def test_distances_of_equal_vectors_are_zero_whatever_the_rounding() -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert not np.diag(euclidean_distances(vectors, vectors)).any()


@given(rankings, st.data())
def test_precision_at_k_is_the_mean_over_orders_of_the_tied(
    ranking: Ranking, data: st.DataObject
) -> None:
    distances, relevant = as_arrays(ranking)
    k = data.draw(st.integers(1, len(ranking)))
    last = np.sort(distances)[k - 1]
    nearer, tied = distances < last, distances == last
    expected = (relevant[nearer].sum() + relevant[tied].mean() * (k - nearer.sum())) / k
    measured = precision_at(np.sort(distances[relevant]), np.sort(distances), k)
    assert measured == pytest.approx(expected)


def test_k_occurrences_equal_a_loop_and_sum_to_all_places() -> None:
    distances = np.random.default_rng(3).random((30, 30), dtype=np.float32)
    np.fill_diagonal(distances, np.inf)
    expected = np.zeros(30)
    for row in distances:
        for item in np.argsort(row)[:4]:
            expected[item] += 1
    measured = k_occurrences(distances, 4)
    np.testing.assert_array_equal(measured, expected)
    assert measured.sum() == 4 * 30


def test_k_occurrences_share_places_among_ties() -> None:
    np.testing.assert_allclose(
        k_occurrences(np.array([[0.0, 1.0, 1.0, 1.0]]), 2), [1, *[1 / 3] * 3]
    )


def test_skewness_equals_scipys_and_is_zero_when_all_occur_alike() -> None:
    counts = np.random.default_rng(4).poisson(3, 500).astype(float)
    assert skewness(counts) == pytest.approx(skew(counts))
    assert skewness(np.full(9, 10.0)) == 0
