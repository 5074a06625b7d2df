"""Folds keep artists apart, use every track once, and average what was scored on them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.errors import EvaluationError
from ml.evaluation.folds import Fold, assign_folds, average_folds, split_folds
from ml.evaluation.scores import Score, difference

CATALOGUES = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([(), ("folk",), ("jazz",), ("folk", "jazz")])),
    min_size=1,
    max_size=60,
)


def tabulate(rows: Sequence[tuple[int, tuple[str, ...]]]) -> pd.DataFrame:
    """Make a track of each row; artist 0 is unknown."""
    return pd.DataFrame(
        {
            "track_id": [f"track {n:02}" for n in range(len(rows))],
            "artist": [f"artist {artist}" if artist else "" for artist, _ in rows],
            "genres": [list(genres) for _, genres in rows],
        }
    )


@settings(deadline=None)
@given(CATALOGUES, st.integers(2, 5), st.integers(0, 3))
def test_artist_lies_in_one_fold_and_no_fold_is_empty(
    rows: list[tuple[int, tuple[str, ...]]], folds: int, seed: int
) -> None:
    tracks = tabulate(rows)
    artists = np.where(tracks["artist"] == "", tracks["track_id"], tracks["artist"])
    if len({*artists}) < folds:
        with pytest.raises(EvaluationError, match="ask for 2 to"):
            assign_folds(tracks, folds, seed)
        return
    assigned = assign_folds(tracks, folds, seed)
    assert {*assigned.tolist()} <= {*range(folds)}
    for artist in {*artists}:
        assert len({*assigned[artists == artist].tolist()}) == 1


def test_folds_do_not_depend_on_the_order_of_tracks_but_on_the_seed() -> None:
    tracks = tabulate([(n % 11, (("folk", "jazz")[n % 2],)) for n in range(44)])
    expected = assign_folds(tracks, 4, 1)
    order = np.random.default_rng(0).permutation(len(tracks))
    shuffled = assign_folds(tracks.iloc[order].reset_index(drop=True), 4, 1)
    assert (shuffled == expected[order]).all()
    assert (assign_folds(tracks, 4, 2) != expected).any()


def test_folds_are_equal_in_genres_and_in_size() -> None:
    rows = [(1 + n // 3, (("folk", "jazz", "metal")[n // 3 % 3],)) for n in range(180)]
    tracks = tabulate(rows)
    assigned = assign_folds(tracks, 4, 0)
    assert np.bincount(assigned).tolist() == [45] * 4
    for genre in ("folk", "jazz", "metal"):
        of_genre = tracks["genres"].map(lambda values, g=genre: g in values).to_numpy()
        assert np.bincount(assigned[of_genre]).tolist() == [15] * 4


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(EvaluationError, match="1 folds of 3 artists"):
        assign_folds(tabulate([(1, ()), (2, ()), (0, ())]), 1, 0)


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[Fold]:
    """Split a catalogue of forty artists with two clips of each track."""
    tracks = tabulate([(1 + n // 2, (("folk", "jazz")[n % 2],)) for n in range(80)])
    clips = tracks.loc[tracks.index.repeat(2)].reset_index(drop=True)
    clips["start"] = np.arange(len(clips)) % 2
    return split_folds(Collection(AudioStore(tmp_path_factory.mktemp("store")), clips), 4)


def test_every_track_is_held_out_once(folds: list[Fold]) -> None:
    held = [track for fold in folds for track in fold.held_out.tracks["track_id"]]
    assert len(held) == len({*held}) == 80
    assert sum(len(fold.held_out.clips) for fold in folds) == 160


def test_parts_of_a_fold_share_no_artist_and_miss_no_track(folds: list[Fold]) -> None:
    for number, fold in enumerate(folds):
        assert fold.number == number
        parts = (fold.training, fold.validation, fold.held_out)
        artists = [{*part.clips["artist"]} for part in parts]
        assert sum(map(len, artists)) == len(set.union(*artists)) == 40
        assert [len(part.tracks) for part in parts] == [54, 6, 20]


def score(value: float, seed: int, annotation: str = "genre") -> Score:
    replicates = value + 0.05 * np.random.default_rng(seed).standard_normal(2000)
    return Score("paper", annotation, value, 0, 1, 0.3, 4, replicates=replicates)


def test_average_is_the_mean_and_its_interval_narrows_with_the_root_of_the_folds() -> None:
    mean = average_folds([score(value, seed) for seed, value in enumerate((0.4, 0.5, 0.6, 0.7))])
    assert mean.map == pytest.approx(0.55)
    assert mean.spread == pytest.approx(np.std([0.4, 0.5, 0.6, 0.7]))
    assert mean.n == 16
    assert mean.chance == pytest.approx(0.3)
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * 0.05 / 2, rel=0.1)


def test_averages_are_compared_in_pairs() -> None:
    good = average_folds([score(0.5, seed) for seed in range(4)])
    bad = average_folds([score(0.49, seed) for seed in range(4)])
    assert difference(good, bad) == pytest.approx((0.01, 0.01, 0.01))


def test_average_refuses_scores_of_two_kinds_and_none() -> None:
    with pytest.raises(EvaluationError, match="one protocol and annotation"):
        average_folds([score(0.5, 0), score(0.5, 1, "mood")])
    with pytest.raises(EvaluationError, match="one protocol and annotation"):
        average_folds([])
