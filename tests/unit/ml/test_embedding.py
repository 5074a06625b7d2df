"""Batched embedding equals a loop, and windows cover every moment."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES
from ml.collection import Collection
from ml.convnet import ConvNetSettings, seed_weights
from ml.embedding import BATCH_CLIPS, embed_clips, place_windows, read_ahead, read_batches
from ml.encoders import ConvNetEncoder


def test_embedding_in_batches_equals_a_loop(
    collection: Collection, tiny_encoder: ConvNetSettings
) -> None:
    encoder = ConvNetEncoder(seed_weights(tiny_encoder, 0))
    clips = collection.clips.sample(frac=1, random_state=0)
    assert len(clips) > BATCH_CLIPS
    assert len(clips) % BATCH_CLIPS
    expected = []
    for clip in clips.itertuples():
        whole = np.load(collection.store.audio_path(str(clip.digest))) / 32_767
        start = int(str(clip.start))
        sound = torch.from_numpy(whole[start : start + CLIP_SAMPLES].astype(np.float32))
        expected.append(encoder.encode(sound[None])[0].numpy())
    vectors = embed_clips(encoder, collection.store, clips)
    assert vectors.dtype == np.float32
    assert np.abs(vectors - np.stack(expected)).max() < 1e-5


def test_no_clips_give_no_vectors(collection: Collection, tiny_encoder: ConvNetSettings) -> None:
    encoder = ConvNetEncoder(seed_weights(tiny_encoder, 0))
    assert embed_clips(encoder, collection.store, collection.clips.head(0)).shape == (0, 128)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_hold_every_clip_in_order(collection: Collection, size: int) -> None:
    clips = collection.clips.head(10)
    batches = list(read_batches(collection.store, clips, size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    together = np.concatenate(batches)
    assert together.shape == (10, CLIP_SAMPLES)
    assert together.dtype == np.float32
    assert np.abs(together).max() <= 1


@given(st.lists(st.integers() | st.none()))
def test_reading_ahead_changes_nothing(items: list[int | None]) -> None:
    assert list(read_ahead(iter(items))) == items


def test_reading_ahead_makes_one_item_more_than_was_asked_for() -> None:
    made = []
    reader = read_ahead(made.append(n) or n for n in range(9))  # type: ignore[func-returns-value]
    assert next(reader) == 0
    reader.close()  # waits for what is being made
    assert made == [0, 1]


def test_reading_ahead_passes_errors_on_after_what_came_before() -> None:
    def fail_second() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    reader = read_ahead(fail_second())
    assert next(reader) == 1
    with pytest.raises(OSError, match="gone"):
        next(reader)


@given(st.integers(0, 60 * SAMPLE_RATE), st.integers(SAMPLE_RATE // 2, CLIP_SAMPLES))
def test_windows_cover_every_sample_and_end_with_the_track(spare: int, hop: int) -> None:
    samples = CLIP_SAMPLES + spare
    starts = place_windows(samples, hop)
    assert starts[0] == 0
    assert starts[-1] + CLIP_SAMPLES == samples
    gaps = np.diff(starts)
    assert (gaps > 0).all()
    assert (gaps <= hop).all()  # at most a window's length, so no sample lies between two
    assert (gaps[:-1] == hop).all()


def test_thirty_seconds_have_five_windows() -> None:
    hop = 5 * SAMPLE_RATE
    assert place_windows(30 * SAMPLE_RATE, hop).tolist() == [n * hop for n in range(5)]
    assert place_windows(CLIP_SAMPLES, hop).tolist() == [0]
