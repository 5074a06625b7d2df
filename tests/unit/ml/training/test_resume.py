"""A training that was interrupted goes on to the weights of one that was not."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from ml.collection import Collection
from ml.encoders import ConvNetEncoder
from ml.training.checkpointing import CheckpointFiles
from ml.training.checkpoints import FILE, find_checkpoint, remove_checkpoint
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings

EPOCHS = 3


class PowerCutError(Exception):
    """Ends a training from within."""


@dataclass
class Journal:
    """What a run reported; pulls the plug before the checkpoint of an epoch is written."""

    cut: int = -1
    epochs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    def report(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Take the metrics of an epoch."""
        if epoch == self.cut:
            raise PowerCutError
        self.epochs.append((epoch, {k: v for k, v in metrics.items() if k != "clips_per_second"}))


@pytest.fixture(scope="module")
def settings(tiny_training: TrainingSettings) -> TrainingSettings:
    """Describe a run of some epochs."""
    return replace(tiny_training, epochs=EPOCHS, patience=EPOCHS)


def train(
    collection: Collection, settings: TrainingSettings, journal: Journal, folder: Path | None
) -> ConvNetEncoder:
    training, validation = collection.of("train"), collection.of("validation")
    note = journal.facts.update
    return train_convnet(training, validation, settings, journal.report, note=note, folder=folder)


def cut(collection: Collection, settings: TrainingSettings, epoch: int, folder: Path) -> None:
    with pytest.raises(PowerCutError):
        train(collection, settings, Journal(cut=epoch), folder)


def same(one: ConvNetEncoder, other: ConvNetEncoder) -> bool:
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


@pytest.fixture(scope="module")
def undisturbed(
    collection: Collection, settings: TrainingSettings
) -> tuple[ConvNetEncoder, Journal]:
    """Train without an interruption and without checkpoints."""
    journal = Journal()
    return train(collection, settings, journal, None), journal


@pytest.mark.parametrize("epoch", [1, 2])
def test_interrupted_training_ends_with_the_same_weights_and_history(
    collection: Collection,
    settings: TrainingSettings,
    undisturbed: tuple[ConvNetEncoder, Journal],
    tmp_path: Path,
    epoch: int,
) -> None:
    cut(collection, settings, epoch, tmp_path)
    journal = Journal()
    encoder = train(collection, settings, journal, tmp_path)
    assert journal.facts["resumed_after_epochs"] == str(epoch)
    assert same(encoder, undisturbed[0])
    assert journal.epochs == undisturbed[1].epochs


def test_training_interrupted_twice_goes_on_twice(
    collection: Collection,
    settings: TrainingSettings,
    undisturbed: tuple[ConvNetEncoder, Journal],
    tmp_path: Path,
) -> None:
    for epoch in (1, 2):
        cut(collection, settings, epoch, tmp_path)
    assert same(train(collection, settings, Journal(), tmp_path), undisturbed[0])


def test_finished_training_is_not_trained_further(
    collection: Collection,
    settings: TrainingSettings,
    undisturbed: tuple[ConvNetEncoder, Journal],
    tmp_path: Path,
) -> None:
    train(collection, settings, Journal(), tmp_path)
    journal = Journal()
    assert same(train(collection, settings, journal, tmp_path), undisturbed[0])
    assert journal.facts["resumed_after_epochs"] == str(EPOCHS)
    assert len(journal.epochs) == EPOCHS


def test_training_that_stopped_early_is_not_trained_further(
    collection: Collection, settings: TrainingSettings, tmp_path: Path
) -> None:
    impatient = replace(settings, epochs=30, patience=1, learning_rate=0.0)
    first, second = Journal(), Journal()
    train(collection, impatient, first, tmp_path)
    train(collection, impatient, second, tmp_path)
    assert second.epochs == first.epochs
    assert len(first.epochs) < 30


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_damaged_checkpoint_is_ignored_with_a_line(
    collection: Collection,
    settings: TrainingSettings,
    undisturbed: tuple[ConvNetEncoder, Journal],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    cut(collection, settings, 1, tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    half = bytes(content[: len(content) // 2])
    spoilt = {"truncated": half, "flipped": bytes(content), "empty": b""}
    (tmp_path / FILE).write_bytes(spoilt[damage])
    with caplog.at_level(logging.WARNING):
        encoder = train(collection, settings, Journal(), tmp_path)
    assert "is damaged: training starts anew" in caplog.text
    assert same(encoder, undisturbed[0])


def test_checkpoint_of_other_settings_is_ignored_with_a_line(
    collection: Collection,
    settings: TrainingSettings,
    undisturbed: tuple[ConvNetEncoder, Journal],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cut(collection, replace(settings, seed=1), 1, tmp_path)
    with caplog.at_level(logging.WARNING):
        encoder = train(collection, settings, Journal(), tmp_path)
    assert "is of another training: training starts anew" in caplog.text
    assert same(encoder, undisturbed[0])


def test_training_keeps_the_precision_it_was_begun_in(
    collection: Collection, settings: TrainingSettings, tmp_path: Path
) -> None:
    measured, journal = replace(settings, precision="auto"), Journal()
    cut(collection, measured, 1, tmp_path)
    files = CheckpointFiles()
    checkpoint = files.load_checkpoint(tmp_path / FILE)
    own = checkpoint["callbacks"]["Checkpoints"]
    own["precision"] = {"bf16": "float32", "float32": "bf16"}[own["precision"]]
    files.save_checkpoint(checkpoint, tmp_path / FILE)
    train(collection, measured, journal, tmp_path)
    assert journal.facts["precision"] == own["precision"]


def test_checkpoint_holds_nothing_that_would_be_executed(tmp_path: Path) -> None:
    files = CheckpointFiles()
    files.save_checkpoint({"callbacks": Path}, tmp_path / FILE)  # a class: would be imported
    assert find_checkpoint(tmp_path, "key") is None


def test_checkpoint_that_is_removed_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    assert find_checkpoint(folder, "key") is None
    remove_checkpoint(folder)
    CheckpointFiles().save_checkpoint({}, folder / FILE)
    (folder / f".{FILE}.x.tmp").write_bytes(b"half")  # a killed writer's
    remove_checkpoint(folder)
    assert not folder.exists()
