"""Clips joined with their tracks."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.audio_store import AudioStore
from ml.collection import Collection, encode_labels
from ml.errors import CatalogError

LABELS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), max_size=8)


@given(LABELS)
def test_labels_are_marked_where_they_are(values: list[list[str]]) -> None:
    marks = encode_labels(values)
    names = sorted({label for labels in values for label in labels})
    assert marks.dtype == bool
    assert marks.tolist() == [[name in labels for name in names] for labels in values]


def test_collection_joins_every_clip_with_its_track(
    collection: Collection, tracks: pd.DataFrame
) -> None:
    assert len(collection.clips) == 3 * len(tracks)
    assert collection.tracks["track_id"].tolist() == sorted(tracks["track_id"])
    by_id = tracks.set_index("track_id")
    for clip in collection.clips.itertuples():
        track = by_id.loc[str(clip.track_id)]
        assert (clip.genres, clip.moods, clip.artist) == (track.genres, track.moods, track.artist)
        assert (clip.digest, clip.split) == (track.digest, track.split)


def test_clips_of_tracks_that_left_the_catalogue_are_left_out(
    collection: Collection, tracks: pd.DataFrame
) -> None:
    fewer = Collection.load(collection.store, tracks.head(3))
    assert set(fewer.clips["track_id"]) == set(tracks["track_id"].head(3))


def test_splits_divide_the_collection(collection: Collection) -> None:
    parts = [collection.of(split) for split in ("train", "validation", "test")]
    assert [len(part.tracks) for part in parts] == [8, 4, 4]
    assert sum(len(part.clips) for part in parts) == len(collection.clips)
    assert set(parts[2].clips["split"]) == {"test"}
    assert len(collection.of("train", "test").tracks) == 12


def test_labels_for_the_evaluation_are_those_of_the_clips(collection: Collection) -> None:
    labels = collection.of("validation").labels
    assert len(labels) == 12
    assert labels.track_ids == collection.of("validation").clips["track_id"].to_list()
    assert set(labels.genres) == {("buzz",), ("tone",)}


def test_empty_store_says_what_to_do(
    tracks: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(CatalogError, match="materialise `clips` first"):
        Collection.load(AudioStore(tmp_path_factory.mktemp("empty")), tracks)


def test_fingerprint_ignores_the_order_and_sees_clips_and_labels(collection: Collection) -> None:
    fingerprint = collection.fingerprint
    clips = collection.clips
    shuffled = clips.sample(frac=1, random_state=0).reset_index(drop=True)

    def of(changed: pd.DataFrame) -> str:
        return Collection(collection.store, changed).fingerprint

    assert of(shuffled) == fingerprint
    assert of(clips.assign(fingerprint="touched")) == fingerprint
    first = pd.Series(np.arange(len(clips)) == 0)
    others = [
        clips.iloc[1:],
        clips.assign(start=clips["start"] + first),
        *(
            clips.assign(**{name: clips[name].mask(first, pd.Series([value]))})
            for name, value in {
                "artist": "another",
                "content": "another",
                "genres": ["x"],
                "moods": ["x"],
            }.items()
        ),
    ]
    fingerprints = [of(changed) for changed in others]
    assert len({fingerprint, *fingerprints}) == 1 + len(others)
