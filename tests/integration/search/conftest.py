"""A small catalogue in clusters, whose neighbours a naive loop can find."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from psycopg.conninfo import conninfo_to_dict

from search import index, verification
from search.database import Database
from search.load import Segments, load_bucket
from search.tracks import upsert_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase

BUCKETS = 6  # fewer than in life: each is loaded by a connection of its own


@dataclass(frozen=True)
class Catalogue:
    """Tracks, and for each of them embeddings [segments, 128]."""

    frame: pd.DataFrame
    embeddings: dict[str, NDArray[np.float32]]

    def load(self, database: Database, version: int) -> int:
        """Load all buckets of a version and build its index."""
        index.begin_version(database, version, "music-encoder", f"run-{version}")
        rows = 0
        for bucket, frame in self.frame.groupby("bucket"):
            segments = self.segments(list(frame["track_id"]))
            rows += load_bucket(database, version, int(str(bucket)), segments, "same")
        index.build_index(database, version)
        return rows

    def serve(self, database: Database, version: int) -> None:
        """Load a version and make it active."""
        upsert_tracks(database, self.frame)
        self.load(database, version)
        report = verification.measure_recall(database, version)
        verification.mark_verified(database, version, report)
        index.activate(database, version)

    def segments(self, track_ids: list[str]) -> Segments:
        """Segments of 10 s every 5 s."""
        vectors = [self.embeddings[track_id] for track_id in track_ids]
        starts = np.concatenate([5000 * np.arange(len(v)) for v in vectors])
        ids = [i for i, v in zip(track_ids, vectors, strict=True) for _ in v]
        return Segments(ids, starts, starts + 10_000, np.concatenate(vectors))

    def neighbours(self, track_id: str, k: int) -> list[tuple[str, float, int]]:
        """Find (track, distance, start) by a naive loop: the oracle."""
        mean = self.embeddings[track_id].astype(np.float64).mean(axis=0)
        mean /= np.linalg.norm(mean)
        found = []
        for other, vectors in self.embeddings.items():
            distances = [float(np.linalg.norm(vector - mean)) for vector in vectors]
            nearest = int(np.argmin(distances))
            if other != track_id:
                found.append((other, distances[nearest], 5000 * nearest))
        return sorted(found, key=lambda row: row[1])[:k]


def make_catalogue(tracks: int, seed: int = 0, clusters: int = 12) -> Catalogue:
    """Draw tracks of 4 to 12 segments around cluster centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, 128))
    ids = [f"låt {'x' * (i % 7)}{i}" for i in range(tracks)]  # of several lengths, not ASCII
    embeddings = {}
    for track_id in ids:
        track = centres[rng.integers(clusters)] + 0.6 * rng.normal(size=128)
        vectors = track + 0.4 * rng.normal(size=(rng.integers(4, 13), 128))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        embeddings[track_id] = vectors.astype(np.float32)
    return Catalogue(make_frame(ids), embeddings)


def make_frame(ids: list[str]) -> pd.DataFrame:
    """Give each track metadata, a digest and a bucket."""
    digests = [hashlib.sha256(track_id.encode()).digest() for track_id in ids]
    return pd.DataFrame(
        {
            "track_id": ids,
            "title": [f"Title of {track_id}" for track_id in ids],
            "artist": "Artist",
            "album": None,
            "genres": [("jazz", "rock")] * len(ids),
            "moods": [()] * len(ids),
            "split": "train",
            "bucket": [digest[0] % BUCKETS for digest in digests],
            "digest": [digest.hex() for digest in digests],
            "duration_s": 42.0,
        }
    )


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Draw forty tracks."""
    return make_catalogue(40)


@pytest.fixture(scope="session")
def other_catalogue() -> Catalogue:
    """Draw the same tracks as another model hears them."""
    return make_catalogue(40, seed=1)


@pytest.fixture(scope="session")
def large_catalogue() -> Catalogue:
    """Draw enough tracks for the planner to prefer the index."""
    return make_catalogue(900, clusters=30)


@pytest.fixture(scope="session")
def large_database(copy_database: "CopyDatabase", large_catalogue: Catalogue) -> Iterator[Database]:
    """Load the large catalogue once, and make it active."""
    with copy_database("migrated") as database:
        large_catalogue.serve(database, 1)
        yield database


@pytest.fixture
def worn(large_database: Database, copy_database: "CopyDatabase") -> Iterator[Database]:
    """Copy the large database, to change it."""
    with copy_database(str(conninfo_to_dict(large_database.url)["dbname"])) as database:
        yield database
