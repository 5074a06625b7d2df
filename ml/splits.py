"""Which split a track belongs to: decided by its id alone, for ever (paper, section 2.1).

Hashing the id needs no stored assignment: a track keeps its split when the catalogue grows, on
every machine and in every order, so no track ever leaks from test into training.
"""

import hashlib
from typing import Literal, get_args

import pandas as pd

from ml.errors import CatalogError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
N_BUCKETS = 100
VALIDATION_FROM, TEST_FROM = 80, 90  # buckets 00-79 train, 80-89 validation, 90-99 test

MIN_TRACKS: dict[Split, int] = {"train": 8, "validation": 2, "test": 2}
"""Fewer tracks than these leave nothing to mine triplets from, or no pair of tracks to rank."""


def hash_track(track_id: str) -> str:
    """Digest of a track's identity; it names the track's files and seeds its clips.

    Parameters
    ----------
    track_id : str
        Identity of the track in the manifest.

    Returns
    -------
    str
        SHA-256 of the id's UTF-8 bytes, 64 hexadecimal digits.
    """
    return hashlib.sha256(track_id.encode()).hexdigest()


def assign_bucket(digest: str) -> int:
    """Bucket of a track: its digest's first 8 bytes as a big-endian integer, mod 100.

    Parameters
    ----------
    digest : str
        As `hash_track` returns it.

    Returns
    -------
    int
        From 0 to 99.

    Examples
    --------
    >>> assign_bucket(hash_track("demo_0001")) in range(100)
    True
    """
    return int.from_bytes(bytes.fromhex(digest)[:8], "big") % N_BUCKETS


def assign_split(bucket: int) -> Split:
    """Split of a bucket: 80 % training, 10 % validation, 10 % test (paper, section 2.1).

    Examples
    --------
    >>> [assign_split(b) for b in (0, 79, 80, 89, 90, 99)]
    ['train', 'train', 'validation', 'validation', 'test', 'test']
    """
    if bucket < VALIDATION_FROM:
        return "train"
    return "validation" if bucket < TEST_FROM else "test"


def buckets_of(*splits: Split) -> list[int]:
    """List the buckets of some splits, ascending.

    Examples
    --------
    >>> buckets_of("validation")[0], len(buckets_of("train", "test"))
    (80, 90)
    """
    return [bucket for bucket in range(N_BUCKETS) if assign_split(bucket) in splits]


def split_tracks(tracks: pd.DataFrame) -> pd.DataFrame:
    """Add each track's digest, bucket and split.

    Parameters
    ----------
    tracks : pandas.DataFrame
        With a column `track_id`.

    Returns
    -------
    pandas.DataFrame
        The same rows with the columns `digest`, `bucket` and `split` added.

    Raises
    ------
    CatalogError
        A split has too few tracks to train on or to evaluate with.
    """
    split = label_splits(tracks)
    _require_enough(count_splits(split))
    return split


def label_splits(tracks: pd.DataFrame) -> pd.DataFrame:
    """Do as `split_tracks` does, however few tracks there are."""
    digests = tracks["track_id"].map(hash_track)
    buckets = digests.map(assign_bucket)
    return tracks.assign(digest=digests, bucket=buckets, split=buckets.map(assign_split))


def count_splits(tracks: pd.DataFrame) -> dict[Split, int]:
    """Count the tracks of each split, splits without any included."""
    counts = tracks["split"].value_counts()
    return {name: int(counts.get(name, 0)) for name in SPLITS}


def _require_enough(counts: dict[Split, int]) -> None:
    lacking = [
        f"{name} {counts[name]} of {least}"
        for name, least in MIN_TRACKS.items()
        if counts[name] < least
    ]
    if lacking:
        raise CatalogError(
            f"The catalogue is too small to split ({', '.join(lacking)} tracks needed): "
            "add tracks to the manifest, about 60 usable ones are enough."
        )
