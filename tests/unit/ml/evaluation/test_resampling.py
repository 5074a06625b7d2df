"""The bootstrap against scikit-learn's weights and against tracks that are really copied."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ml.evaluation.metrics import average_precision
from ml.evaluation.resampling import interval, resample_tracks, resampled_average_precision


def ranked_pairs(
    seed: int = 0, n: int = 300, decimals: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 20, (2, n))
    return generator.random(n).round(decimals), generator.random(n) < 0.3, first, second


def test_resamples_hold_as_many_tracks_as_there_are() -> None:
    drawn = resample_tracks(17, 50, np.random.default_rng(0))
    assert drawn.shape == (17, 50)
    assert (drawn.sum(axis=0) == 17).all()


@pytest.mark.parametrize("decimals", [1, 6])
def test_resampled_precision_equals_sklearns_with_weights(decimals: int) -> None:
    distances, relevant, first, second = ranked_pairs(decimals=decimals)
    multiplicity = resample_tracks(20, 30, np.random.default_rng(1))
    measured = resampled_average_precision(distances, relevant, first, second, multiplicity)
    for resample in range(30):
        times = multiplicity[:, resample].astype(float)
        weights = times[first] * np.where(first == second, 1, times[second])
        for kind in (relevant, ~relevant):
            weights[kind] *= kind.sum() / weights[kind].sum()
        expected = average_precision_score(relevant, -distances, sample_weight=weights)
        assert measured[resample] == pytest.approx(expected, abs=1e-5)


def test_resampled_precision_without_resampling_is_the_plain_one() -> None:
    distances, relevant, first, second = ranked_pairs(1)
    ones = np.ones((20, 1), dtype=np.float32)
    measured = resampled_average_precision(distances, relevant, first, second, ones)
    assert measured == pytest.approx(average_precision(distances, relevant), abs=1e-6)


def test_resampled_precision_of_a_perfect_ranking_is_one() -> None:
    _, relevant, first, second = ranked_pairs(2)
    multiplicity = resample_tracks(20, 30, np.random.default_rng(2))
    distances = np.where(relevant, 0.0, 1.0)
    measured = resampled_average_precision(distances, relevant, first, second, multiplicity)
    np.testing.assert_allclose(measured, 1, atol=1e-6)


def test_resampled_precision_is_unknown_where_a_kind_of_pair_is_gone() -> None:
    distances, relevant = np.array([0.1, 0.2]), np.array([True, False])
    tracks = np.array([0, 1])
    gone = np.array([[0, 1, 1], [1, 0, 1]], dtype=np.float32)
    measured = resampled_average_precision(distances, relevant, tracks, tracks, gone)
    np.testing.assert_array_equal(np.isnan(measured), [True, True, False])


def test_interval_holds_the_middle_of_the_replicates() -> None:
    low, high = interval(np.append(np.arange(101.0), np.nan), 50, 0.9)
    assert (low, high) == pytest.approx((5, 95))


def test_interval_takes_out_what_resampling_adds_to_the_score() -> None:
    low, high = interval(np.arange(101.0), 47, 0.9)
    assert (low, high) == pytest.approx((2, 92))


def test_interval_of_nothing_is_unknown() -> None:
    assert np.isnan(interval(np.empty(0), 0.5, 0.95)).all()
