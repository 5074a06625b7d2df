"""Distinct tracks where each has some 48 overlapping windows, against a naive search."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ml.errors import DatabaseError
from search import index, verification
from search.database import Database
from search.load import Segments, load_bucket
from search.similarity import similar_segments, similar_to_vector
from search.tracks import upsert_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase

TRACKS, WINDOWS, K, QUERIES = 160, 48, 10, 30
LONG, LONG_WINDOWS = TRACKS, 700  # one more track, an hour long

Vectors = NDArray[np.float32]


def draw_windows(rng: np.random.Generator, centre: Vectors, windows: int) -> Vectors:
    """Draw windows of a track; each shares half its sound with the next."""
    halves = 0.5 * rng.standard_normal((windows + 1, 128), np.float32)
    vectors: Vectors = centre + (halves[1:] + halves[:-1]) / np.sqrt(2).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.fixture(scope="module")
def windows() -> list[Vectors]:
    """Draw tracks in ten clusters; the long one lies in the middle of the first."""
    rng = np.random.default_rng(0)
    clusters = rng.standard_normal((10, 128), np.float32)
    own = 0.8 * rng.standard_normal((TRACKS, 128), np.float32)
    tracks = [draw_windows(rng, clusters[n % 10] + own[n], WINDOWS) for n in range(TRACKS)]
    return [*tracks, draw_windows(rng, clusters[0], LONG_WINDOWS)]


@pytest.fixture(scope="module")
def served(copy_database: "CopyDatabase", windows: list[Vectors]) -> Iterator[Database]:
    """Load them as one bucket, index, verify, activate."""
    ids = [name(n) for n in range(len(windows))]
    frame = pd.DataFrame({"track_id": ids, "title": ids, "artist": "", "album": "", "bucket": 7})
    frame["genres"] = frame["moods"] = [()] * len(ids)
    frame["split"] = "train"
    frame["digest"] = [hashlib.sha256(i.encode()).hexdigest() for i in ids]
    counts = [len(track) for track in windows]
    starts = np.concatenate([5000 * np.arange(count) for count in counts])
    segments = Segments(
        np.repeat(np.array(ids, object), counts), starts, starts + 10_000, np.concatenate(windows)
    )
    with copy_database("migrated") as database:
        upsert_tracks(database, frame)
        index.begin_version(database, 1, "music-encoder", "run-1")
        load_bucket(database, 1, 7, segments, "same")
        index.build_index(database, 1)
        report = verification.measure_recall(database, 1)
        verification.mark_verified(database, 1, report)
        index.activate(database, 1)
        yield database


def name(track: int) -> str:
    return f"track {track}"


def nearest(windows: list[Vectors], query: Vectors, without: int | None = None) -> set[str]:
    """Find the ten tracks with the window nearest to a vector: the oracle."""
    closeness = [float((track @ query).max()) for track in windows]
    order = [track for track in np.argsort(closeness)[::-1] if track != without]
    return {name(int(track)) for track in order[:K]}


def test_distinct_tracks_among_overlapping_windows_are_found(
    served: Database, windows: list[Vectors]
) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for track in rng.choice(TRACKS, QUERIES, replace=False):
        window = int(rng.integers(WINDOWS))
        found = similar_segments(served, name(track), 5000 * window, K)
        hits += len({n.track_id for n in found} & nearest(windows, windows[track][window], track))
    assert hits >= 0.99 * K * QUERIES


def test_vectors_far_from_every_window_find_distinct_tracks(
    served: Database, windows: list[Vectors]
) -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for track in rng.choice(TRACKS, QUERIES, replace=False):
        query = windows[track][0] + rng.standard_normal(128, np.float32) / np.sqrt(128) / 2
        query /= np.linalg.norm(query)
        found = similar_to_vector(served, query, K)
        hits += len({n.track_id for n in found} & nearest(windows, query))
    assert hits >= 0.99 * K * QUERIES


def test_more_is_fetched_where_one_long_track_fills_what_was(
    served: Database, windows: list[Vectors]
) -> None:
    query = windows[LONG].mean(axis=0)
    query /= np.linalg.norm(query)
    found = similar_to_vector(served, query, K)
    assert found[0].track_id == name(LONG)
    assert {n.track_id for n in found} == nearest(windows, query)


def test_breadth_grows_with_the_length_of_tracks_and_can_be_raised(served: Database) -> None:
    with served.transaction() as connection:

        def breadth(k: int) -> object:
            row = connection.execute("SELECT search_breadth(1, %s)", (k,)).fetchone()
            return row and row[0]

        mean = (TRACKS * WINDOWS + LONG_WINDOWS) / (TRACKS + 1)
        assert breadth(10) == np.ceil(11 * mean)
        assert breadth(100) == 1000  # no more is taken
        connection.execute("SET LOCAL soundalike.ef_search = 700")
        assert breadth(10) == 700
    report = verification.measure_recall(served, 1, sample=20)
    assert report.ef_search == np.ceil(11 * mean)
    with pytest.raises(DatabaseError, match="k is 0"):
        similar_to_vector(served, np.ones(128), 0)
