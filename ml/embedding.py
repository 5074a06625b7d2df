"""Embed stretches of stored tracks, in batches."""

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from ml.allocator import keep_memory
from ml.audio import Float32, to_float
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.convnet import EMBEDDING_DIM
from ml.encoders import Encoder
from ml.progress import track_progress

logger = logging.getLogger(__name__)

BATCH_CLIPS = 32

Item = TypeVar("Item")


def read_batches(
    store: AudioStore, clips: pd.DataFrame, size: int = BATCH_CLIPS
) -> Iterator[Float32]:
    """Read clips in batches.

    Parameters
    ----------
    store : AudioStore
        Where the tracks lie.
    clips : pandas.DataFrame
        Columns `digest` and `start` (samples).
    size : int
        Clips in a batch.

    Yields
    ------
    numpy.ndarray [shape=(size, 160000)]
        float32 at 16 kHz; the last batch may be smaller.
    """
    rows: Sequence[tuple[str, int]] = list(zip(clips["digest"], clips["start"], strict=True))
    for first in range(0, len(rows), size):
        batch = [
            store.read(digest, start, CLIP_SAMPLES) for digest, start in rows[first : first + size]
        ]
        yield to_float(np.stack(batch))


def read_ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield items while a thread already makes the next one; at most one waits.

    Parameters
    ----------
    items : iterable
        Made by work that leaves Python's lock, such as reading files.

    Yields
    ------
    Item
        The items, in their order.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, source, end)
            yield item  # type: ignore[misc]  # not the end


def hear_clips(store: AudioStore, clips: pd.DataFrame, what: str) -> Iterator[Float32]:
    """Read clips in batches, the next one while a batch is worked on, and log how far it is.

    Parameters
    ----------
    store, clips
        See `read_batches`.
    what : str
        Is counted, such as ``"batches embedded"``.

    Returns
    -------
    iterator of numpy.ndarray
        What `read_batches` yields.
    """
    batches = -(-len(clips) // BATCH_CLIPS)
    return track_progress(read_ahead(read_batches(store, clips)), batches, what, logger)


def embed_clips(
    encoder: Encoder, store: AudioStore, clips: pd.DataFrame
) -> npt.NDArray[np.float32]:
    """Embed clips, in their order.

    Parameters
    ----------
    encoder : Encoder
        Any.
    store : AudioStore
        Where the tracks lie.
    clips : pandas.DataFrame
        Columns `digest` and `start` (samples).

    Returns
    -------
    numpy.ndarray [shape=(len(clips), 128)]
        float32 of norm 1.
    """
    keep_memory()
    embeddings = np.empty((len(clips), EMBEDDING_DIM), np.float32)
    done = 0
    for batch in hear_clips(store, clips, "batches embedded"):
        embeddings[done : done + len(batch)] = encoder.encode(torch.from_numpy(batch)).numpy()
        done += len(batch)
    return embeddings


def embed_excerpt(
    encoder: Encoder, samples: npt.NDArray[np.int16]
) -> tuple[npt.NDArray[np.float32], int]:
    """Embed an excerpt of any length as one vector.

    One longer than a clip is the mean of a window every five seconds, the last ending with it. A
    shorter one is repeated until it fills a clip, as in training (`ml.training.minibatches`):
    silence behind it would be heard as part of the music.

    Parameters
    ----------
    encoder : Encoder
        Any.
    samples : numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz, at least one.

    Returns
    -------
    numpy.ndarray [shape=(128,)], int
        float32 of norm 1, and how many windows it is the mean of.
    """
    whole = np.pad(samples, (0, max(0, CLIP_SAMPLES - len(samples))), mode="wrap")
    starts = place_windows(len(whole), CLIP_SAMPLES // 2)
    windows = np.stack([whole[start : start + CLIP_SAMPLES] for start in starts])
    mean = encoder.encode(torch.from_numpy(to_float(windows))).mean(0)
    return torch.nn.functional.normalize(mean, dim=0).numpy(), len(starts)


def place_windows(samples: int, hop: int) -> npt.NDArray[np.int64]:
    """Start of each ten-second window of a track, so that every moment lies in one.

    Parameters
    ----------
    samples : int
        Length of the track at 16 kHz, at least ten seconds.
    hop : int
        Samples between starts.

    Returns
    -------
    numpy.ndarray [shape=(windows,)]
        Ascending starts in samples; the last window ends with the track.
    """
    last = samples - CLIP_SAMPLES
    starts = np.arange(0, last + 1, hop)
    return starts if starts[-1] == last else np.append(starts, last)
