"""A catalogue of noises and a training of seconds."""

import numpy as np
import pandas as pd
import pytest

from ml.audio import SAMPLE_RATE
from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.convnet import ConvNetSettings
from ml.spectrogram import SpectrogramSettings
from ml.splits import hash_track
from ml.training.minibatches import MinibatchSettings
from ml.training.settings import TrainingSettings


@pytest.fixture(scope="session")
def tiny_training() -> TrainingSettings:
    """Describe a run of two epochs."""
    encoder = ConvNetSettings(
        widths=(8, 16), spectrogram=SpectrogramSettings(n_fft=1024, hop=512, n_mels=32), timbre=4
    )
    return TrainingSettings(
        encoder=encoder,
        minibatch=MinibatchSettings(tracks=6, crops=2, genre_group=2, steps=3),
        crop_seconds=1.0,
        epochs=2,
        precision="float32",
    )


@pytest.fixture(scope="session")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Write twelve tracks of noise, each of its own colour, in two genres and two moods."""
    store, rows = AudioStore(tmp_path_factory.mktemp("audio")), []
    for number in range(12):
        digest = hash_track(str(number))
        noise = np.random.default_rng(number).normal(size=12 * SAMPLE_RATE)
        coloured = np.convolve(noise, np.hanning(3 + 2 * number), "same")
        store.write_audio(digest, (8_000 * coloured / abs(coloured).max()).astype(np.int16))
        row = {"track_id": str(number), "digest": digest, "samples": 12 * SAMPLE_RATE}
        labels = {"genres": [f"genre {number % 2}"], "moods": [f"mood {number // 3 % 2}"]}
        split = "train" if number < 8 else "validation"
        row |= labels | {"fingerprint": "", "content": "", "artist": str(number), "split": split}
        rows += [row | {"start": start * SAMPLE_RATE} for start in range(3)]
    return Collection(store, pd.DataFrame(rows))
