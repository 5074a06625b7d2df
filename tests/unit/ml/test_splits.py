"""Splits follow from the id alone, as anyone can compute them."""

import hashlib
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import CatalogError
from ml.splits import (
    MIN_TRACKS,
    N_BUCKETS,
    SPLITS,
    assign_bucket,
    assign_split,
    buckets_of,
    count_splits,
    hash_track,
    label_splits,
    split_tracks,
)


def bucket_of(track_id: str) -> int:
    return assign_bucket(hash_track(track_id))


@pytest.mark.parametrize(
    ("track_id", "bucket"), [("a", 50), ("demo_0001", 52), ("007", 96), ("Größe", 62), ("曲", 90)]
)
def test_known_ids_have_known_buckets(track_id: str, bucket: int) -> None:
    assert bucket_of(track_id) == bucket


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_bucket_is_the_big_endian_integer_of_the_first_eight_bytes(track_id: str) -> None:
    digest = hashlib.sha256(track_id.encode("utf-8")).digest()
    expected = sum(byte * 256 ** (7 - place) for place, byte in enumerate(digest[:8])) % 100
    assert hash_track(track_id) == digest.hex()
    assert bucket_of(track_id) == expected


def test_buckets_divide_eighty_ten_ten() -> None:
    assert [len(buckets_of(split)) for split in SPLITS] == [80, 10, 10]
    assert sorted(buckets_of(*SPLITS)) == list(range(N_BUCKETS))
    assert all(assign_split(b) == "validation" for b in range(80, 90))


def test_twenty_thousand_tracks_fill_splits_in_proportion() -> None:
    counts = Counter(assign_split(bucket_of(f"track {n}")) for n in range(20_000))
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        deviation = (20_000 * share * (1 - share)) ** 0.5
        assert abs(counts[split] - 20_000 * share) < 4 * deviation


def test_splits_stay_when_the_catalogue_grows_and_is_shuffled() -> None:
    small = label_splits(pd.DataFrame({"track_id": [f"{n}" for n in range(100)]}))
    large = label_splits(pd.DataFrame({"track_id": [f"{n}" for n in reversed(range(500))]}))
    after = large.set_index("track_id").loc[small["track_id"]].reset_index()
    pd.testing.assert_frame_equal(small, after)


def test_other_columns_are_kept() -> None:
    tracks = pd.DataFrame({"track_id": [f"{n}" for n in range(100)], "title": range(100)})
    split = split_tracks(tracks)
    assert split["title"].tolist() == list(range(100))
    assert split["digest"].tolist() == [hash_track(f"{n}") for n in range(100)]
    assert split["split"].tolist() == [assign_split(b) for b in split["bucket"]]


@pytest.mark.parametrize("lacking", SPLITS)
def test_too_few_tracks_in_a_split_are_refused_by_name(lacking: str) -> None:
    many = label_splits(pd.DataFrame({"track_id": [f"{n}" for n in range(300)]}))
    enough = pd.concat(
        many[many["split"] == split].head(least - (split == lacking))
        for split, least in MIN_TRACKS.items()
    )
    with pytest.raises(CatalogError, match=f"too small to split .{lacking}"):
        split_tracks(enough[["track_id"]])


def test_just_enough_tracks_are_accepted() -> None:
    many = label_splits(pd.DataFrame({"track_id": [f"{n}" for n in range(300)]}))
    enough = pd.concat(
        many[many["split"] == name].head(least) for name, least in MIN_TRACKS.items()
    )
    assert count_splits(split_tracks(enough[["track_id"]])) == MIN_TRACKS


def test_count_names_empty_splits() -> None:
    assert count_splits(pd.DataFrame({"split": ["test"]})) == {
        "train": 0,
        "validation": 0,
        "test": 1,
    }
