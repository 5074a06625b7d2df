"""Agreement with raters, held against a loop that asks triplet by triplet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.embedding import embed_clips
from ml.encoders import Encoder, RandomEncoder
from ml.errors import EvaluationError
from ml.evaluation.raters import (
    COLUMNS,
    find_segments,
    order_triplets,
    place_triplets,
    rate_encoders,
    rater_interval,
    read_triplets,
)

SECONDS, TRACKS = 25, 6
INTERVAL_OF_TEN = 1.96 * 0.5 / 10**0.5  # half the interval of ten tosses of a coin


class Spectral:
    """Hears how much of each of 128 bands there is."""

    architecture = "spectral"
    settings = None
    tensors: dict[str, Tensor] = {}  # noqa: RUF012

    def encode(self, waveform: Tensor) -> Tensor:
        """Average magnitudes."""
        bands = torch.fft.rfft(waveform).abs()[:, 1:80_001].reshape(len(waveform), 128, -1)
        return functional.normalize(bands.mean(2), dim=1)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Six tracks of noise, each filtered by itself, and each changing on the way."""
    store = AudioStore(tmp_path_factory.mktemp("store"))
    rng = np.random.default_rng(0)
    rows = []
    for number in range(TRACKS):
        noise = rng.normal(size=16_000 * SECONDS)
        blend = np.linspace(number / TRACKS, 1 - number / TRACKS, len(noise))
        samples = 3000 * (blend * noise + (1 - blend) * np.roll(noise, 1))
        store.write_audio(f"{number:064x}", samples.astype(np.int16))
        rows.append({"track_id": f"t{number}", "digest": f"{number:064x}", "samples": len(noise)})
    return Collection(store, pd.DataFrame(rows))


@pytest.fixture(scope="module")
def triplets() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            (
                f"rater {i % 4}",
                *(value for role in rng.permutation(TRACKS)[:3] for value in (f"t{role}", 5000)),
            )
            for i in range(60)
        ],
        columns=list(COLUMNS),
    )


def test_agreement_is_that_of_a_naive_loop(collection: Collection, triplets: pd.DataFrame) -> None:
    encoder, agreed = Spectral(), []

    def embed(track_id: str, start_ms: int) -> Tensor:
        samples = collection.store.read(f"{int(track_id[1:]):064x}", 16 * start_ms, 160_000)
        return encoder.encode(torch.from_numpy(samples / 32_767).float()[None])[0]

    for row in triplets.to_dict("records"):
        a, p, n = (embed(row[f"{r}_track_id"], row[f"{r}_start_ms"]) for r in "apn")
        agreed.append(bool(torch.dist(a, p) < torch.dist(a, n)))
    (found,) = rate_encoders({"spectral": encoder}, collection, triplets)
    assert found["agreement"] == pytest.approx(np.mean(agreed))
    assert found["low"] <= found["agreement"] <= found["high"]
    assert (found["triplets"], found["raters"], found["left_out"]) == (60, 4, 0)


def test_who_rates_by_the_encoder_agrees_with_it(
    collection: Collection, triplets: pd.DataFrame
) -> None:
    """Turned so that the encoder is right, it agrees always; an encoder that guesses, by half."""
    encoder = Spectral()
    segments = find_segments(collection.tracks, triplets)
    vectors = embed_clips(encoder, collection.store, segments)
    wrong = order_triplets(*vectors[place_triplets(segments, triplets).T]) < 1
    turned = triplets.copy()
    turned.loc[wrong, "p_track_id"] = triplets.loc[wrong, "n_track_id"]
    turned.loc[wrong, "n_track_id"] = triplets.loc[wrong, "p_track_id"]
    encoders: dict[str, Encoder] = {"same": encoder, "guess": RandomEncoder()}
    same, guess = rate_encoders(encoders, collection, turned)
    assert (same["agreement"], same["low"], same["high"]) == (1, 1, 1)
    assert guess["low"] < guess["chance"] < guess["high"]


def test_segments_that_the_catalogue_lacks_are_left_out(
    collection: Collection, triplets: pd.DataFrame
) -> None:
    changed = triplets.copy()
    changed.loc[0, "p_track_id"] = "gone"
    changed.loc[1, "a_start_ms"] = 1000 * SECONDS - 9000  # nine seconds are left from there
    (found,) = rate_encoders({"spectral": Spectral()}, collection, changed)
    assert (found["triplets"], found["left_out"]) == (58, 2)
    assert rate_encoders({"x": Spectral()}, collection, changed.iloc[:2]) == []


def test_equally_near_counts_half() -> None:
    a, p, n = (
        np.zeros((3, 2)),
        np.array([[1, 0], [0, 2], [0, 1]]),
        np.array([[2, 0], [0, 1], [1, 0]]),
    )
    assert order_triplets(a, p, n).tolist() == [1.0, 0.0, 0.5]


def test_interval_knows_that_a_raters_judgements_are_alike() -> None:
    """Ten raters who each say the same forty times are ten judgements, not four hundred."""
    value = np.repeat([1.0, 0.0] * 5, 40)
    ratings = pd.DataFrame({"rater": np.repeat(range(10), 40), "query": np.tile(range(4), 100)})
    independent = 0.5 - INTERVAL_OF_TEN, 0.5 + INTERVAL_OF_TEN
    assert rater_interval(ratings.assign(value=value)) == pytest.approx(independent, abs=0.06)


def test_interval_knows_that_a_query_is_one_whoever_asked_it() -> None:
    """Ten queries of which forty raters say the same are ten judgements, not four hundred."""
    value = np.repeat([1.0, 0.0] * 5, 40)
    ratings = pd.DataFrame({"rater": np.tile(range(40), 10), "query": np.repeat(range(10), 40)})
    independent = 0.5 - INTERVAL_OF_TEN, 0.5 + INTERVAL_OF_TEN
    assert rater_interval(ratings.assign(value=value)) == pytest.approx(independent, abs=0.06)


def test_interval_is_that_of_a_naive_loop() -> None:
    """Draw raters, draw queries, gather what each said of each: as often as both were drawn."""
    rng = np.random.default_rng(2)
    said = {
        (rater, query): rng.normal(5 + rater, 1, rng.integers(1, 4)).tolist()
        for rater in range(4)
        for query in range(6)
        if rng.random() < 0.6  # nobody was asked everything
    }
    rows = [(r, f"q{q}", value) for (r, q), values in said.items() for value in values]
    means: list[float] = []
    while len(means) < 4000:
        raters, queries = rng.integers(4, size=4).tolist(), rng.integers(6, size=6).tolist()
        heard = [value for r in raters for q in queries for value in said.get((r, q), [])]
        if heard:
            means.append(float(np.mean(heard)))
    expected = np.quantile(means, [0.025, 0.975])
    found = rater_interval(pd.DataFrame(rows, columns=["rater", "query", "value"]))
    assert found == pytest.approx(tuple(expected), abs=0.12)
    assert expected[1] - expected[0] > 1.5  # beside which the tolerance is small


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame.drop(columns="n_track_id"),
        lambda frame: frame.assign(a_start_ms="soon"),
    ],
)
def test_what_holds_no_triplets_is_refused(
    triplets: pd.DataFrame, tmp_path: Path, spoil: Spoil
) -> None:
    file = tmp_path / "triplets.csv"
    triplets.to_csv(file, index=False)
    pd.testing.assert_frame_equal(read_triplets(file), triplets)
    spoil(triplets).to_csv(file, index=False)
    with pytest.raises(EvaluationError, match="soundalike study triplets"):
        read_triplets(file)
