"""A small catalogue of real files, with everything that is made from it."""

import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from ml.audio import SAMPLE_RATE
from ml.audio_store import AudioStore
from ml.catalog import read_catalog
from ml.clip_settings import ClipSettings
from ml.clips import extract_clips
from ml.collection import Collection
from ml.convnet import ConvNetSettings
from ml.spectrogram import SpectrogramSettings
from ml.splits import N_BUCKETS, assign_bucket, assign_split, hash_track, split_tracks
from ml.training.minibatches import MinibatchSettings
from ml.training.settings import TrainingSettings

SECONDS = 12
CLIPS_PER_TRACK = 3
TRACKS = {"train": 8, "validation": 4, "test": 4}


def _draw_ids() -> list[str]:
    """Take the first ids that fill each split."""
    wanted = dict(TRACKS)
    chosen = []
    for number in count():
        track_id = f"{number:03d}"
        split = assign_split(assign_bucket(hash_track(track_id)))
        if wanted[split]:
            wanted[split] -= 1
            chosen.append(track_id)
        if not any(wanted.values()):
            return chosen
    raise AssertionError("unreachable")


def _play(number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Low buzzes and high pure tones, each track at its own pitch, with a little noise."""
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    pitch = (110.0 if number % 2 else 880.0) * 2 ** (number / 24)
    phase = 2 * np.pi * pitch * time
    wave = np.sign(np.sin(phase)) if number % 2 else np.sin(phase)
    noise = np.random.default_rng(number).standard_normal(len(time))
    return 0.3 * wave * (1 + 0.5 * np.sin(2 * np.pi * (1 + number % 3) * time)) + 0.01 * noise


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Work in a folder as a user whom permissions bind: root may read every file."""
    with tempfile.TemporaryDirectory() as name:
        user = os.geteuid()
        if user == 0:
            os.chown(name, 65_534, 65_534)
            os.seteuid(65_534)
        try:
            yield Path(name).resolve()
        finally:
            os.seteuid(user)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write `TRACKS` tracks of twelve seconds: two genres, two moods, four artists."""
    folder = tmp_path_factory.mktemp("catalogue")
    rows = []
    for number, track_id in enumerate(_draw_ids()):
        sf.write(folder / f"{track_id}.wav", _play(number), SAMPLE_RATE)
        genre, mood = ("tone", "buzz")[number % 2], ("calm", "calm|sad", "sad", "calm")[number % 4]
        rows.append((track_id, f"{track_id}.wav", "t", f"artist {number % 4}", "a", genre, mood))
    columns = ["track_id", "path", "title", "artist", "album", "genre", "mood"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "tracks.csv", index=False)
    return folder / "tracks.csv"


@pytest.fixture(scope="session")
def tracks(manifest: Path) -> pd.DataFrame:
    """Read the manifest's tracks with their splits."""
    return split_tracks(read_catalog(str(manifest)).tracks)


@pytest.fixture(scope="session")
def collection(tracks: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Extract all clips of the catalogue, in a store that no test may write to."""
    store = AudioStore(tmp_path_factory.mktemp("audio"))
    settings = ClipSettings(clips_per_track=CLIPS_PER_TRACK)
    extract_clips(tracks, store, range(N_BUCKETS), settings, n_jobs=1)
    return Collection.load(store, tracks)


@pytest.fixture(scope="session")
def tiny_encoder() -> ConvNetSettings:
    """Describe a network that computes in milliseconds."""
    return ConvNetSettings(
        widths=(8, 16), spectrogram=SpectrogramSettings(n_fft=1024, hop=512, n_mels=32), timbre=4
    )


@pytest.fixture(scope="session")
def tiny_training(tiny_encoder: ConvNetSettings) -> TrainingSettings:
    """Describe a run that takes about a second."""
    return TrainingSettings(
        encoder=tiny_encoder,
        minibatch=MinibatchSettings(tracks=6, crops=2, genre_group=2, steps=3),
        crop_seconds=1.0,
        epochs=2,
        precision="float32",  # a measured choice could fall otherwise the next time
    )
