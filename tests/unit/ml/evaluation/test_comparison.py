"""Encoders are compared on the same clips, and a comparison is known by what decides it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ml.baseline import fit_baseline
from ml.collection import Collection
from ml.embedding import embed_clips, read_batches
from ml.encoders import Encoder, RandomEncoder
from ml.evaluation.comparison import compare_encoders, fingerprint_comparison
from ml.evaluation.contest import hold_contest
from ml.evaluation.protocols import EvaluationSettings, evaluate, to_rows
from ml.evaluation.scores import ScoreRow

SETTINGS = EvaluationSettings(protocols=("paper",), draws=2, resamples=0)


class Loudness:
    """Tells clips apart by nothing but how loud they are."""

    architecture = "loudness"
    settings = None
    tensors: dict[str, Tensor] = {}  # noqa: RUF012

    def encode(self, waveform: Tensor) -> Tensor:
        """Put the loudness on an arc."""
        level = waveform.square().mean(1).sqrt()
        vectors = torch.zeros(len(waveform), 128)
        vectors[:, 0], vectors[:, 1] = torch.cos(level), torch.sin(level)
        return vectors


def of_map(rows: list[ScoreRow]) -> dict[tuple[str, str], float]:
    return {(row["encoder"], row["annotation"]): row["map"] for row in rows}


def test_comparison_is_each_encoder_evaluated_alone(collection: Collection) -> None:
    rows = compare_encoders({"a": Loudness(), "b": RandomEncoder(1)}, collection, SETTINGS)
    expected: list[ScoreRow] = []
    for name, encoder in (("a", Loudness()), ("b", RandomEncoder(1))):
        vectors = embed_clips(encoder, collection.store, collection.clips)
        expected += to_rows({name: evaluate(vectors, collection.labels, SETTINGS)})
    assert of_map(rows) == of_map(expected)
    assert len(rows) == 2 * 3


def test_baseline_beats_random_on_music_that_differs(collection: Collection) -> None:
    training = collection.of("train")
    baseline = fit_baseline(read_batches(training.store, training.clips))
    rows = compare_encoders(
        {"random": RandomEncoder(), "baseline": baseline}, collection.of("test"), SETTINGS
    )
    maps = of_map(rows)
    for annotation in ("genre", "track"):
        assert maps["baseline", annotation] > maps["random", annotation] + 0.2


def test_contest_scores_as_a_comparison_and_pairs_the_differences(collection: Collection) -> None:
    def encoders() -> dict[str, Encoder]:  # anew: a random one goes on drawing
        return {"random": RandomEncoder(), "twin": Loudness(), "challenger": Loudness()}

    settings = replace(SETTINGS, resamples=50)
    judged = collection.of("test")
    contest = hold_contest(encoders(), "challenger", judged, settings)
    assert of_map(contest.rows) == of_map(compare_encoders(encoders(), judged, settings))
    assert {row["encoder"] for row in contest.hubness} == set(encoders())
    maps = of_map(contest.rows)
    found = {(row["against"], row["annotation"]): row for row in contest.differences}
    assert set(found) == {(a, b) for a in ("random", "twin") for b in ("genre", "mood", "track")}
    for annotation in ("genre", "mood", "track"):
        twin, other = found["twin", annotation], found["random", annotation]
        assert (twin["gain"], twin["low"], twin["high"]) == (0, 0, 0), "the same tracks each time"
        gain = maps["challenger", annotation] - maps["random", annotation]
        assert other["gain"] == pytest.approx(gain)
        assert other["low"] < other["gain"] < other["high"]


def test_fingerprint_sees_everything_that_decides(collection: Collection) -> None:
    encoders = {"a": "1", "b": "2"}
    fingerprint = fingerprint_comparison(encoders, collection, SETTINGS)
    assert fingerprint == fingerprint_comparison({"b": "2", "a": "1"}, collection, SETTINGS)
    others = [
        fingerprint_comparison({"a": "1", "b": "3"}, collection, SETTINGS),
        fingerprint_comparison({"a": "1"}, collection, SETTINGS),
        fingerprint_comparison(encoders, collection.of("test"), SETTINGS),
        fingerprint_comparison(encoders, collection, EvaluationSettings()),
    ]
    assert len({fingerprint, *others}) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_random_encoder_scores_near_chance(collection: Collection, seed: int) -> None:
    rows = compare_encoders({"random": RandomEncoder(seed)}, collection, SETTINGS)
    assert np.allclose([row["map"] for row in rows], [row["chance"] for row in rows], atol=0.12)
