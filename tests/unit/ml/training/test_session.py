"""Training is decided by its settings, selects by validation, and never opens a test track."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ml.audio import SAMPLE_RATE
from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.encoders import ConvNetEncoder
from ml.errors import TrainingError
from ml.training.history import MONITOR, is_over, plot_history, summarise
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings, configure
from ml.training.triplet_module import TripletModule, anneal
from ml.training.validation import sample_tracks, validate
from ml.triplets import PRESETS
from tests.unit.ml.conftest import SECONDS


@dataclass
class History:
    """What a run reported."""

    epochs: list[dict[str, float]] = field(default_factory=list)

    def __call__(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Take the metrics of an epoch."""
        assert epoch == len(self.epochs)
        self.epochs.append(dict(metrics))


def train(
    collection: Collection, settings: TrainingSettings
) -> tuple[ConvNetEncoder, list[dict[str, float]]]:
    history = History()
    encoder = train_convnet(collection.of("train"), collection.of("validation"), settings, history)
    return encoder, history.epochs


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module")
def run(
    collection: Collection, tiny_training: TrainingSettings
) -> tuple[ConvNetEncoder, list[dict[str, float]]]:
    """Take in the whole path once."""
    return train(collection, tiny_training)


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    collection: Collection, tiny_training: TrainingSettings, run: tuple[ConvNetEncoder, Any]
) -> None:
    torch.rand(3)  # the global generator must not matter
    assert same(train(collection, tiny_training)[0].tensors, run[0].tensors)
    other, _ = train(collection, replace(tiny_training, seed=1))
    assert not same(other.tensors, run[0].tensors)


def test_each_epoch_is_reported(run: tuple[Any, list[dict[str, float]]]) -> None:
    _, epochs = run
    assert len(epochs) == 2
    terms = {f"loss/{term}" for term in ("transformed", "track", "genre", "mood")}
    annotations = {f"validation/{name}" for name in ("genre", "mood", "track")}
    for metrics in epochs:
        assert {"loss", MONITOR, "learning_rate", "clips_per_second"} | annotations <= set(metrics)
        assert len([name for name in metrics if name.startswith("loss/")]) == len(terms)
        assert metrics[MONITOR] == pytest.approx(np.mean([metrics[name] for name in annotations]))
        assert all(math.isfinite(value) for value in metrics.values())
        assert metrics["clips_per_second"] > 0
    assert epochs[0]["learning_rate"] > epochs[1]["learning_rate"] >= 0


def test_steps_on_one_minibatch_lower_its_loss(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    module = TripletModule(collection.of("train"), tiny_training)
    batch = module.make_minibatches(0)[0]
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    losses = []
    for _ in range(30):
        loss = module.training_step(batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.75 * losses[0]
    assert module.sums["loss"] == pytest.approx(sum(losses))
    assert module.sums["clips"] == 30 * len(batch.mel)


def test_network_in_training_hears_the_colours_of_a_minibatch(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    module = TripletModule(collection.of("train"), tiny_training).eval()
    batch = module.make_minibatches(0)[0]
    rows = torch.arange(3, 7)
    undone = batch._replace(mel=batch.mel / batch.colour[:, :, None])
    plain = module.network.embed_mel(batch.mel[rows])
    torch.testing.assert_close(module.embed(undone, rows), plain, rtol=0, atol=1e-4)
    assert (module.embed(batch, rows) - plain).norm(dim=1).min() > 0.01


def test_the_best_epoch_by_validation_is_returned(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    worsening = replace(tiny_training, epochs=3, learning_rate=0.3, warmup=0.7)
    encoder, epochs = train(collection, worsening)
    maps = [metrics[MONITOR] for metrics in epochs]
    assert min(maps) < max(maps)
    returned = validate(encoder.network, collection.of("validation"))[MONITOR]
    assert returned == pytest.approx(max(maps), abs=1e-4)


def test_training_stops_when_validation_no_longer_improves(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    # Without learning, only batch statistics move: validation can improve by chance, not for long.
    _, epochs = train(collection, replace(tiny_training, epochs=30, patience=1, learning_rate=0.0))
    maps = [metrics[MONITOR] for metrics in epochs]
    assert len(epochs) < 30
    assert maps[-1] <= max(maps[:-1])


def keep_audio(collection: Collection, digests: Collection, root: Path) -> Collection:
    """Copy the collection's store, with the audio of some clips alone."""
    store = AudioStore(root)
    for digest in digests.clips["digest"].unique():
        store.write_audio(digest, collection.store.read(digest, 0, SECONDS * SAMPLE_RATE))
    return Collection(store, collection.clips)


def test_test_tracks_are_never_opened(
    collection: Collection, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    # Absent files prove it for the loader processes too.
    without = keep_audio(collection, collection.of("train", "validation"), tmp_path)
    train(without, replace(tiny_training, epochs=1))
    with pytest.raises(FileNotFoundError):  # they are absent indeed
        validate(TripletModule(without, tiny_training).network, without.of("test"))


def test_validation_tracks_are_not_learned_from(
    collection: Collection, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    training = keep_audio(collection, collection.of("train"), tmp_path).of("train")
    history = History()
    settings = replace(tiny_training, epochs=1)
    train_convnet(training, collection.of("validation"), settings, history)
    assert len(history.epochs) == 1


def test_loss_that_is_not_finite_ends_the_run(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(collection, replace(tiny_training, learning_rate=float("inf")))


def test_weights_that_the_last_step_of_an_epoch_ruins_end_the_run(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    single = replace(tiny_training.minibatch, steps=1)  # the first step is the last, its loss fine
    ruinous = replace(tiny_training, minibatch=single, learning_rate=float("inf"), epochs=1)
    with pytest.raises(TrainingError, match="a weight is not finite"):
        train(collection, ruinous)


@pytest.mark.parametrize("step", [24, 25])
def test_loss_is_looked_at_now_and_then(
    collection: Collection, tiny_training: TrainingSettings, step: int
) -> None:
    module = TripletModule(collection.of("train"), tiny_training)
    module.sums = {"loss": torch.tensor(float("nan"))}
    if step == 25:
        module.on_train_batch_end(None, None, step)
    else:
        with pytest.raises(TrainingError, match="loss"):
            module.on_train_batch_end(None, None, step)


def test_validation_is_on_a_sample_of_whole_tracks_where_there_are_many(
    collection: Collection,
) -> None:
    every = collection.of("train")  # 8 tracks of 3 clips
    assert sample_tracks(every, 24, 0) is every
    some = sample_tracks(every, 11, 0)
    assert len(some.clips) == 9
    assert len(some.tracks) == 3
    whole = every.clips[every.clips["track_id"].isin(some.clips["track_id"])]
    pd.testing.assert_frame_equal(some.clips, whole.reset_index(drop=True))
    assert sample_tracks(every, 11, 0).fingerprint == some.fingerprint
    assert len({sample_tracks(every, 11, seed).fingerprint for seed in range(9)}) > 1
    assert len(sample_tracks(every, 1, 0).clips) == 3


def test_validation_leaves_the_mode_of_the_network_alone(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    network = TripletModule(collection.of("train"), tiny_training).network.train()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    validate(network, collection.of("validation"))
    assert network.training
    assert same(state, network.state_dict())


def test_learning_rate_rises_and_falls() -> None:
    factors = [anneal(step, 100, 0.1) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[55] == pytest.approx(0.5)
    assert (np.diff(factors[10:]) < 0).all()
    assert factors[100] == pytest.approx(0)
    assert max(factors) == 1


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (10, 0.0), (10, 1.0), (0, 0.5)])
def test_learning_rate_stays_within_bounds_for_any_run(steps: int, warmup: float) -> None:
    assert all(0 <= anneal(step, steps, warmup) <= 1 for step in range(steps + 3))


def test_summary_is_the_mean_over_steps_and_the_rate() -> None:
    sums = {"loss": 6.0, "loss/genre": 3.0, "triplets/genre": 30.0, "pairs/genre": 120.0}
    assert summarise({**sums, "clips": 120.0}, 3, 2.0) == {
        "loss": 2.0,
        "loss/genre": 1.0,
        "triplets/genre": 10.0,
        "pairs/genre": 40.0,
        "active/genre": 0.25,
        "clips_per_second": 60.0,
    }


@pytest.mark.parametrize(
    ("maps", "over"),
    [
        ([], False),
        ([0.3], False),
        ([0.3, 0.2], False),
        ([0.3, 0.2, 0.3], True),  # as good is not better
        ([0.3, 0.2, 0.4], False),
        ([0.1, 0.2, 0.3, 0.4, 0.5], True),
    ],
)
def test_training_is_over_after_its_epochs_or_its_patience(
    tiny_training: TrainingSettings, maps: list[float], over: bool
) -> None:
    settings = replace(tiny_training, epochs=5, patience=2)
    history = [{MONITOR: value, "triplets/genre": 1.0} for value in maps]
    assert is_over(history, settings) == over


def test_progress_is_told_within_a_long_epoch(
    collection: Collection,
    tiny_training: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("ml.training.validation.LINE_SECONDS", 0.0)
    with caplog.at_level("INFO", "ml.training.validation"):
        train(collection, replace(tiny_training, epochs=1))
    lines = [m for m in caplog.messages if "steps of epoch 1" in m]
    assert [line[:6] for line in lines] == ["1 of 3", "2 of 3", "3 of 3"]
    assert all("s left" in line for line in lines)


def test_global_generator_is_left_alone(
    collection: Collection, tiny_training: TrainingSettings
) -> None:
    before = torch.get_rng_state()
    train(collection, replace(tiny_training, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_term_without_a_pair_in_a_whole_epoch_is_refused_by_name() -> None:
    sums = {"loss": 3.0, "clips": 1.0}
    sums |= {"triplets/genre": 9.0, "pairs/genre": 9.0, "triplets/mood": 0.0, "pairs/mood": 0.0}
    with pytest.raises(TrainingError, match=r"for mood: .*`without: \[mood\]`"):
        summarise(sums, 1, 1.0)
    summarise(sums | {"pairs/mood": 1.0}, 1, 1.0)


def test_training_stops_with_its_best_once_every_triplet_is_satisfied(
    collection: Collection, tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An epoch without triplets comes when the margin is kept everywhere; here, from the second on.
    def satisfy(sums: Mapping[str, float], steps: int, seconds: float) -> dict[str, float]:
        done.append(steps)
        kept = {name: 0.0 if "triplets/" in name else value for name, value in sums.items()}
        return summarise(kept if len(done) >= first else sums, steps, seconds)

    done: list[int] = []
    monkeypatch.setattr("ml.training.validation.summarise", satisfy)
    settings, first = replace(tiny_training, epochs=9, patience=9), 2
    encoder, epochs = train(collection, settings)
    assert len(epochs) == 2
    best = max(metrics[MONITOR] for metrics in epochs)
    kept = validate(encoder.network, collection.of("validation"))[MONITOR]
    assert kept == pytest.approx(best, abs=1e-4)
    done, first = [], 1
    with pytest.raises(TrainingError, match="nothing was learned"):
        train(collection, settings)


def test_history_is_drawn_term_by_term(run: tuple[Any, list[dict[str, float]]]) -> None:
    history = pd.DataFrame(run[1])
    left, right = plot_history(history).axes
    assert len(left.lines) == 4
    assert {str(line.get_label()) for line in right.lines} == {"genre", "mood", "track", "map"}
    best = next(line for line in right.lines if line.get_label() == "map")
    assert np.asarray(best.get_ydata()).tolist() == history[MONITOR].tolist()


FLAT: dict[str, Any] = {
    "variant": "compact",
    "objective": next(iter(PRESETS)),
    "tracks_per_minibatch": 5,
    "crops_per_track": 3,
    "steps_per_epoch": 9,
}


def test_flat_names_become_settings() -> None:
    settings = configure(**FLAT, epochs=7, seed=3, crop_seconds=2.5, timbre=8, colour_db=1.5)
    minibatch = settings.minibatch
    assert (minibatch.tracks, minibatch.crops, minibatch.steps) == (5, 3, 9)
    assert settings.encoder.variant == "compact"
    assert (settings.encoder.timbre, settings.effects.colour_db) == (8, 1.5)
    assert settings.triplets == PRESETS[FLAT["objective"]]
    assert (settings.epochs, settings.seed, settings.crop_samples) == (7, 3, 40_000)


def test_terms_are_switched_off_by_name() -> None:
    triplets = configure(**FLAT, without=["mood", "genre"]).triplets
    assert (triplets.genre, triplets.mood) == (0, 0)
    assert triplets.track == PRESETS[FLAT["objective"]].track


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"patience": 0}, "patience must be at least 1, not 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1, not 0"),
        ({"crops_per_track": 0}, "crops_per_track must be at least 1, not 0"),
        ({"tracks_per_minibatch": 0}, "tracks_per_minibatch must be at least 1, not 0"),
        ({"crop_seconds": 0.05}, r"crop_seconds must be above 0.064 .* not 0.05"),
        ({"warmup": 1.5}, "warmup must be a share from 0 to 1, not 1.5"),
        ({"warmup": float("nan")}, "warmup must be a share from 0 to 1, not nan"),
        ({"learning_rate": -1.0}, "learning_rate must be 0 or above, not -1.0"),
        ({"seed": -1}, "seed must be 0 or above, not -1"),
        ({"timbre": 128}, "timbre must be from 0 to 127, not 128"),
        ({"colour_db": -3.0}, "colour_db must be 0 or above, not -3.0"),
    ],
)
def test_settings_that_could_not_train_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        configure(**FLAT | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"without": ["tempo"]}, r"No terms \['tempo'\]: use some of .*mood"),
        ({"precision": "half"}, "No precision 'half': use one of .*bf16"),
        ({"domain": "cepstrum"}, "No domain 'cepstrum': use one of .*magnitude"),
        ({"variant": "resnet"}, "No ConvNet variant 'resnet': use one of .*compact"),
        ({"objective": "papr"}, "No objective 'papr': use one of .*paper"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        configure(**FLAT | changes)
