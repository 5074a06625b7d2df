"""Hubs are told from evenly spread embeddings."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.evaluation.hubness import measure_hubness

TRACKS = np.repeat(np.arange(30), 4)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def test_hub_skews_and_leaves_others_unfound() -> None:
    generator = np.random.default_rng(0)
    spread = unit(generator.normal(size=(120, 3)))
    even = measure_hubness("even", spread, TRACKS, 5)
    centred = unit(generator.normal(size=(120, 64)))
    centred[:5] *= 0.01  # near the middle, so near to all
    hubs = measure_hubness("hubs", centred, TRACKS, 5)
    assert hubs["encoder"] == "hubs"
    assert hubs["skew"] > even["skew"] + 2
    assert hubs["never_retrieved"] > even["never_retrieved"] + 0.3


def test_counts_agree_with_a_plain_loop() -> None:
    vectors = np.random.default_rng(1).normal(size=(120, 8))
    counts = np.zeros(120)
    for query in range(120):
        distances = np.linalg.norm(vectors - vectors[query], axis=1)
        distances[TRACKS[query] == TRACKS] = math.inf
        counts[np.argsort(distances)[:5]] += 1
    found = measure_hubness("x", vectors, TRACKS, 5)
    assert found["never_retrieved"] == pytest.approx(np.mean(counts == 0))
    centred = counts - counts.mean()
    assert found["skew"] == pytest.approx(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def test_one_track_has_no_hubness_and_few_clips_have_fewer_neighbours() -> None:
    vectors = np.random.default_rng(2).normal(size=(8, 4))
    assert math.isnan(measure_hubness("x", vectors, np.zeros(8, dtype=np.intp), 5)["skew"])
    two = np.repeat(np.arange(2), 4)
    assert measure_hubness("x", vectors, two, 10)["never_retrieved"] == 0, "all are found"
