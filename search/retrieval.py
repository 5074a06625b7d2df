"""Searches of the page: a query becomes a vector of one version, and is compared in that version.

The version is found first and passed along, so that an answer never mixes two, however often the
active one changes meanwhile.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.rows import dict_row

from search.database import Database
from search.queries import query
from search.similarity import EVERYTHING, Filters
from search.waveforms import stretch_loudness

Float32 = NDArray[np.float32]
DEEPEST = 1000
"""The last rank that is given."""


@dataclass(frozen=True)
class Example:
    """A track, or with `start_ms` the moment of it that is meant."""

    track_id: str
    start_ms: int | None = None


@dataclass(frozen=True)
class Hit:
    """A track that was found, and where in it.

    Parameters
    ----------
    rank : int
        From 1.
    distance : float
        Euclidean, 0 to 2, of its nearest segment.
    similarity : float
        1 - distance² / 4.
    loudness_lufs : float or None
        Of the segment.
    versions : list of dict
        Its duplicates, collapsed into it: `track_id`, `title`, `artist`.
    """

    rank: int
    track_id: str
    title: str
    artist: str
    album: str
    genres: list[str]
    moods: list[str]
    duration_ms: int | None
    start_ms: int
    end_ms: int
    distance: float
    similarity: float
    loudness_lufs: float | None
    versions: list[dict[str, Any]]


def pin_version(database: Database, version: int | None = None) -> int:
    """Name the version to search: the one given if it is loaded, else the active one.

    Raises
    ------
    DatabaseError
        If none is active, or the one given is not loaded.
    """
    with database.transaction() as connection:
        row = connection.execute(query("resolve_version"), (version,)).fetchone()
    assert row is not None
    return int(row[0])


def region_vector(
    database: Database, version: int, track_id: str, start_ms: int, end_ms: int
) -> tuple[Float32, int]:
    """Make a region of a catalogue track a query.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Loaded.
    track_id : str
        Served.
    start_ms, end_ms : int
        The region, milliseconds.

    Returns
    -------
    np.ndarray [128], int
        Mean of the stored windows nearest to every five seconds of it, and how many those are. A
        region shorter than a window is the window nearest to its middle.

    Raises
    ------
    DatabaseError
        If the track is not served or has no windows in this version.
    """
    values = {
        "track_id": track_id,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "model_version": version,
    }
    with database.transaction() as connection:
        row = connection.execute(query("region_vector"), values).fetchone()
    assert row is not None
    return row[0].to_numpy().astype(np.float32), int(row[1])


def examples_vector(
    database: Database, version: int, likes: Sequence[Example], dislikes: Sequence[Example]
) -> Float32:
    """Make several examples a query: the mean of the liked less half the mean of the disliked.

    Raises
    ------
    DatabaseError
        If an example is not served, or they cancel out.
    """
    values = {
        "liked": [example.track_id for example in likes],
        "liked_at": [example.start_ms for example in likes],
        "disliked": [example.track_id for example in dislikes],
        "disliked_at": [example.start_ms for example in dislikes],
        "model_version": version,
    }
    with database.transaction() as connection:
        row = connection.execute(query("examples_vector"), values).fetchone()
    assert row is not None
    found: Float32 = row[0].to_numpy().astype(np.float32)
    return found


def search_page(
    database: Database,
    vector: NDArray[np.floating],
    version: int,
    k: int,
    *,
    skip: int = 0,
    excluded: Sequence[str] = (),
    filters: Filters = EVERYTHING,
) -> list[Hit]:
    """Find the distinct tracks nearest to a vector.

    Parameters
    ----------
    database : Database
        Migrated.
    vector : np.ndarray [128]
        Of norm 1, by the encoder of `version`.
    version : int
        Loaded.
    k : int
        How many.
    skip : int
        How many better ones were shown before.
    excluded : sequence of str
        Tracks that are not to be found.
    filters : Filters
        Which tracks may be found.

    Returns
    -------
    list of Hit
        Nearest first.

    Raises
    ------
    DatabaseError
        If the version is not loaded (any more).
    """
    values = {
        **asdict(filters),
        "vector": Vector(np.asarray(vector, np.float32)).to_text(),
        "k": k,
        "skip": skip,
        "model_version": version,
        "excluded": list(excluded),
    }
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(query("search_page"), values).fetchall()
    return [_to_hit(row) for row in rows]


def _to_hit(row: dict[str, Any]) -> Hit:
    loudness = stretch_loudness(row.pop("energies"), row.pop("loudness_lufs"))
    return Hit(**row, loudness_lufs=loudness)
