"""Every moment of every track: windows over the stored tracks, embedded and loaded by bucket."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.embedding import embed_clips, place_windows
from ml.encoders import Encoder
from ml.progress import track_progress
from search.database import Database
from search.load import BucketLoad, Segments, load_buckets, loaded_fingerprints

logger = logging.getLogger(__name__)

MS_PER_SAMPLE = 1000 / SAMPLE_RATE


@dataclass(frozen=True)
class WindowSettings:
    """Where the windows of a track lie.

    Parameters
    ----------
    window_hop_s : float
        Seconds between two windows. At 5 they overlap by half, so any ten seconds are at most
        2.5 s from a window; `benchmarks.excerpts` says what other values find, and cost.
    max_windows : int
        Of one track; a longer one is thinned evenly, so that a mix of hours weighs no more than
        some hours of songs. 720 are an hour at 5 s.
    """

    window_hop_s: float = 5.0
    max_windows: int = 720

    def __post_init__(self) -> None:
        if self.window_hop_s <= 0 or self.max_windows < 2:
            raise ValueError(
                "window_hop_s must be above 0 and max_windows at least 2, not "
                f"{self.window_hop_s} and {self.max_windows}: correct the run's configuration."
            )


DEFAULT_WINDOWS = WindowSettings()


@dataclass
class WindowLoad:
    """What a load did."""

    buckets_embedded: int = 0
    """Buckets of which something changed: tracks came, changed or left."""
    buckets_unchanged: int = 0
    tracks_embedded: int = 0
    windows: int = 0
    """Windows of the tracks embedded now."""
    seconds: float = 0.0


def load_windows(
    database: Database,
    version: int,
    encoder: Encoder,
    store: AudioStore,
    tracks: pd.DataFrame,
    buckets: Sequence[int],
    settings: WindowSettings = DEFAULT_WINDOWS,
) -> WindowLoad:
    """Embed the windows of some buckets and load them under a model version.

    A track that has not changed since it was loaded with these settings is left alone.

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
    settings : WindowSettings
        Where the windows lie.

    Returns
    -------
    WindowLoad
        Counts.
    """
    started = time.monotonic()
    loaded = loaded_fingerprints(database, version)
    by_bucket = dict(list(tracks.groupby("bucket")))
    load = WindowLoad()

    def embed_changed() -> Iterator[BucketLoad]:
        for bucket in track_progress(buckets, len(buckets), "buckets loaded", logger):
            members = by_bucket.get(bucket, tracks.iloc[:0])
            wanted, held = _fingerprints(members, settings), loaded.get(bucket)
            if wanted == held:
                load.buckets_unchanged += 1
                continue
            kept = dict(wanted.items() & (held or {}).items())
            changed = members[~members["track_id"].isin(kept)]
            segments = embed_windows(encoder, store, changed, settings)
            load.tracks_embedded += len(changed)
            new = {track: wanted[track] for track in wanted.keys() - kept.keys()}
            yield BucketLoad(bucket, segments, new, kept)

    for rows in load_buckets(database, version, embed_changed()):
        load.windows += rows
        load.buckets_embedded += 1
    load.seconds = time.monotonic() - started
    return load


def embed_windows(
    encoder: Encoder,
    store: AudioStore,
    tracks: pd.DataFrame,
    settings: WindowSettings = DEFAULT_WINDOWS,
) -> Segments:
    """Embed the windows of each track.

    Parameters
    ----------
    encoder : Encoder
        Any of 128 outputs.
    store : AudioStore
        The tracks' audio.
    tracks : pandas.DataFrame
        Columns `track_id`, `digest`, `samples`.
    settings : WindowSettings
        Where the windows lie.

    Returns
    -------
    Segments
        Track by track, in time.
    """
    windows = list_windows(tracks, settings)
    start = windows["start"].to_numpy()
    return Segments(
        windows["track_id"].to_list(),
        np.rint(start * MS_PER_SAMPLE).astype(np.int64),
        np.rint((start + CLIP_SAMPLES) * MS_PER_SAMPLE).astype(np.int64),
        embed_clips(encoder, store, windows),
    )


def list_windows(tracks: pd.DataFrame, settings: WindowSettings = DEFAULT_WINDOWS) -> pd.DataFrame:
    """Place the windows of each track.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Columns `track_id`, `digest`, `samples`.
    settings : WindowSettings
        Where the windows lie.

    Returns
    -------
    pandas.DataFrame
        Columns `track_id`, `digest`, `start` (samples); track by track, in time.
    """
    starts = [place_windows(samples, _hop(samples, settings)) for samples in tracks["samples"]]
    counts = [len(placed) for placed in starts]
    return pd.DataFrame(
        {
            "track_id": np.repeat(tracks["track_id"].to_numpy(object), counts),
            "digest": np.repeat(tracks["digest"].to_numpy(object), counts),
            "start": np.concatenate([*starts, np.empty(0, np.int64)]),
        }
    )


def _hop(samples: int, settings: WindowSettings) -> int:
    """Count the samples between two windows: more than usual if they would be too many."""
    thinned = -(-(samples - CLIP_SAMPLES) // (settings.max_windows - 1))
    return max(round(settings.window_hop_s * SAMPLE_RATE), thinned)


def _fingerprints(tracks: pd.DataFrame, settings: WindowSettings) -> dict[str, str]:
    """Fingerprint what is embedded of each track: its sound, and where its windows lie."""
    placing = (settings.window_hop_s, settings.max_windows)
    return {
        track_id: hashlib.sha256(repr((placing, content)).encode()).hexdigest()[:16]
        for track_id, content in zip(tracks["track_id"], tracks["content"], strict=True)
    }
