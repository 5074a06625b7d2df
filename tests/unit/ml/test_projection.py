"""A map of the catalogue: what is near in truth is near on it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml import projection
from ml.projection import project


def draw_clusters(per_cluster: int = 20, clusters: int = 4) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(clusters, 128)), per_cluster, axis=0)
    vectors = centres + 0.1 * rng.normal(size=centres.shape)
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def test_clusters_stay_together_within_the_square() -> None:
    points, trust = project(draw_clusters())
    assert points.shape == (80, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    clusters = points.reshape(4, 20, 2)
    spread = clusters.std(axis=1).max()
    centres = clusters.mean(axis=1)
    apart = min(np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i])
    assert apart > 3 * spread
    assert trust > 0.9


def test_same_seed_gives_the_same_map() -> None:
    vectors = draw_clusters(10)
    assert np.array_equal(project(vectors, 3).points, project(vectors, 3).points)


def test_tracks_beyond_the_landmarks_lie_beside_their_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "LANDMARKS", 40)
    points, trust = project(draw_clusters())
    assert np.isfinite(points).all()
    assert trust > 0.9


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
def test_few_tracks_have_a_map_too(count: int) -> None:
    points, trust = project(draw_clusters(3)[:count])
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert np.isnan(trust) == (count < projection.FEWEST)


def test_equal_vectors_have_a_map_too() -> None:
    assert np.isfinite(project(np.ones((12, 128))).points).all()


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        project(np.full((9, 128), np.nan))
