"""Every moment of every track: windows over the stored tracks, embedded and loaded by bucket."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.embedding import embed_clips, place_windows
from ml.encoders import Encoder
from ml.progress import track_progress
from search.database import Database
from search.load import Segments, load_bucket, loaded_fingerprints

logger = logging.getLogger(__name__)

WINDOW_HOP_SECONDS = 5.0
"""Windows of ten seconds overlap by half, so any ten seconds are at most 2.5 s from a window."""

MS_PER_SAMPLE = 1000 / SAMPLE_RATE


@dataclass
class WindowLoad:
    """What a load did."""

    buckets_embedded: int = 0
    buckets_unchanged: int = 0
    windows: int = 0
    """Windows in the buckets embedded now."""
    seconds: float = 0.0


def load_windows(
    database: Database,
    version: int,
    encoder: Encoder,
    store: AudioStore,
    tracks: pd.DataFrame,
    buckets: Sequence[int],
) -> WindowLoad:
    """Embed the windows of some buckets and load them under a model version.

    A bucket whose tracks have not changed since it was loaded is left alone.

    Parameters
    ----------
    database : Database
        Migrated, with the tracks' metadata loaded.
    version : int
        Begun by `search.index.begin_version`.
    encoder : Encoder
        The version's.
    store : AudioStore
        The tracks' audio.
    tracks : pandas.DataFrame
        Tracks to be found: `track_id`, `digest`, `bucket`, `samples`, `content`.
    buckets : sequence of int
        Which to do.

    Returns
    -------
    WindowLoad
        Counts.
    """
    started = time.monotonic()
    loaded = loaded_fingerprints(database, version)
    by_bucket = dict(list(tracks.groupby("bucket")))
    load = WindowLoad()
    for bucket in track_progress(buckets, len(buckets), "buckets loaded", logger):
        members = by_bucket.get(bucket, tracks.iloc[:0])
        fingerprint = _fingerprint(members)
        if loaded.get(bucket) == fingerprint:
            load.buckets_unchanged += 1
            continue
        segments = embed_windows(encoder, store, members)
        load.windows += load_bucket(database, version, bucket, segments, fingerprint)
        load.buckets_embedded += 1
    load.seconds = time.monotonic() - started
    return load


def embed_windows(encoder: Encoder, store: AudioStore, tracks: pd.DataFrame) -> Segments:
    """Embed ten seconds every five of each track: columns `track_id`, `digest`, `samples`."""
    hop = round(WINDOW_HOP_SECONDS * SAMPLE_RATE)
    starts = [place_windows(samples, hop) for samples in tracks["samples"]]
    counts = [len(placed) for placed in starts]
    windows = pd.DataFrame(
        {
            "track_id": np.repeat(tracks["track_id"].to_numpy(object), counts),
            "digest": np.repeat(tracks["digest"].to_numpy(object), counts),
            "start": np.concatenate([*starts, np.empty(0, np.int64)]),
        }
    )
    start = windows["start"].to_numpy()
    return Segments(
        windows["track_id"].to_list(),
        np.rint(start * MS_PER_SAMPLE).astype(np.int64),
        np.rint((start + CLIP_SAMPLES) * MS_PER_SAMPLE).astype(np.int64),
        embed_clips(encoder, store, windows),
    )


def _fingerprint(tracks: pd.DataFrame) -> str:
    rows = sorted(zip(tracks["track_id"], tracks["content"], strict=True))
    return hashlib.sha256(repr((WINDOW_HOP_SECONDS, rows)).encode()).hexdigest()[:16]
