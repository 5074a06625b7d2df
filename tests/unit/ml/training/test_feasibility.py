"""Trainings that can teach a term nothing are refused before they begin."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.audio_store import AudioStore
from ml.collection import Collection, encode_labels
from ml.errors import TrainingError
from ml.training.feasibility import find_obstacle, has_strangers, require_shares, require_triplets
from ml.training.hardware import Hardware
from ml.training.minibatches import MinibatchSettings
from ml.training.settings import TrainingSettings
from ml.triplets import Labels, Term, TripletSettings, term_masks

SETTINGS = TrainingSettings()


def collect(genres: list[list[str]], moods: list[list[str]], store: AudioStore) -> Collection:
    """Make a collection of tracks with these labels, of one clip each."""
    names = [str(number) for number in range(len(genres))]
    return Collection(store, pd.DataFrame({"track_id": names, "genres": genres, "moods": moods}))


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> AudioStore:
    """Name a store that holds nothing."""
    return AudioStore(tmp_path_factory.getbasetemp() / "none")


TWO = [["a"], ["b"]]


@pytest.mark.parametrize(
    ("genres", "moods", "term", "reason"),
    [
        ([["a"]], [["x"]], "transformed", "there are 1 training tracks; add tracks"),
        ([], [], "transformed", "there are 0 training tracks"),
        ([["a"], ["a"]], TWO, "genre", "no two training tracks differ wholly in genre"),
        ([[], []], TWO, "genre", "no training track has a genre; label some"),
        (TWO, [["a"], ["a", "b"]], "mood", "no two training tracks differ wholly in mood"),
        (TWO, [[], ["a"]], "mood", "no two training tracks differ wholly in mood"),
        (TWO, [[], []], "mood", "no training track has a mood"),
    ],
)
def test_term_without_triplets_is_refused_until_it_is_switched_off(
    genres: list[list[str]], moods: list[list[str]], term: Term, reason: str, store: AudioStore
) -> None:
    collection = collect(genres, moods, store)
    with pytest.raises(TrainingError, match=rf"`{term}` .*{reason}.*`triplets.{term}` to 0"):
        require_triplets(collection, SETTINGS)
    assert find_obstacle(term, collection, SETTINGS.minibatch)
    if len(genres) > 1:
        without = replace(SETTINGS, triplets=TripletSettings(**{term: 0.0}))  # type: ignore[arg-type]
        require_triplets(collection, without)


def test_catalogue_whose_tracks_differ_is_accepted(store: AudioStore) -> None:
    require_triplets(collect([["a"], ["b"], []], [["a"], [], ["b", "c"]], store), SETTINGS)


def test_track_term_needs_two_crops(store: AudioStore) -> None:
    single = replace(SETTINGS, minibatch=MinibatchSettings(crops=1))
    with pytest.raises(TrainingError, match=r"`track` .* `crops_per_track` to 2"):
        require_triplets(collect(TWO, TWO, store), single)


@pytest.mark.parametrize(
    ("tracks", "term", "least"),
    [(1, "transformed", 2), (4, "genre", 5), (3, "genre", 5)],
)
def test_minibatch_of_one_track_or_one_genre_is_refused(
    tracks: int, term: Term, least: int, store: AudioStore
) -> None:
    collection = collect([["a"], ["b"]] * 4, TWO * 4, store)
    small = replace(SETTINGS, minibatch=MinibatchSettings(tracks, genre_group=4))
    with pytest.raises(TrainingError, match=rf"`{term}` .*`tracks_per_minibatch` to {least}"):
        require_triplets(collection, small)
    require_triplets(collection, replace(SETTINGS, minibatch=MinibatchSettings(5, genre_group=4)))
    if tracks > 1:
        require_triplets(collection, replace(small, triplets=TripletSettings(genre=0)))
        require_triplets(collect(TWO, TWO, store), small)  # drawn whole: all groups are in it


@given(st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=8))
def test_strangers_are_there_when_the_objective_has_a_negative(rows: list[set[str]]) -> None:
    hot = torch.from_numpy(encode_labels([sorted(row) for row in rows]))
    track = torch.arange(len(rows))
    _, negative = term_masks("genre", Labels(track, track, hot, hot))
    assert has_strangers(rows) == bool(negative.any())


def test_many_tracks_are_judged_by_their_combinations_alone() -> None:
    labels = [["a"]] * 200_000  # pairs of tracks would not fit into memory
    assert not has_strangers(labels)
    assert has_strangers([*labels, ["b"]])


def test_minibatch_has_to_be_dealt_out_evenly(store: AudioStore) -> None:
    collection = collect([["a"]] * 3, [["x"]] * 3, store)  # fewer tracks than asked for
    settings = replace(SETTINGS, minibatch=MinibatchSettings(tracks=8, crops=2))
    require_shares(collection, settings, Hardware(devices=3))
    with pytest.raises(TrainingError, match=r"6 crops \(3 tracks x 2\) .* by 4 devices"):
        require_shares(collection, settings, Hardware(devices=4))


def test_hardware_without_a_device_is_refused() -> None:
    with pytest.raises(TrainingError, match="devices must be at least 1"):
        Hardware(devices=0)
