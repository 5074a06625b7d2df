"""Neighbours: by track, by moment, by vector and by several examples, with filters.

Each function asks the SQL function of its name, so that programs and analysts get one answer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector
from psycopg.rows import class_row

from search.database import Database
from search.queries import query


@dataclass(frozen=True)
class Neighbour:
    """A track that sounds like what was asked for.

    Parameters
    ----------
    rank : int
        From 1, the nearest.
    track_id, title, artist : str
        The track.
    genres, moods : list of str
        Its labels.
    distance : float
        Euclidean distance (0 to 2) of its nearest segment.
    similarity : float
        1 - distance² / 4, which is (1 + cosine) / 2: 1 for the same sound, 0 for the opposite.
    start_ms, end_ms : int
        Where that segment is, milliseconds.
    model_version : int
        The version that answered.
    """

    rank: int
    track_id: str
    title: str
    artist: str
    genres: list[str]
    moods: list[str]
    distance: float
    similarity: float
    start_ms: int
    end_ms: int
    model_version: int


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which tracks may be found; None lets all pass.

    Parameters
    ----------
    genres, moods : list of str or None
        Tracks that have any of these.
    artists_not_in : list of str or None
        Tracks by none of these.
    min_duration_s, max_duration_s : float or None
        Seconds, both included; a track of unknown duration passes neither.
    ids : list of str or None
        These tracks alone.
    """

    genres: list[str] | None = None
    moods: list[str] | None = None
    artists_not_in: list[str] | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    ids: list[str] | None = None


EVERYTHING = Filters()


def similar_tracks(
    database: Database,
    track_id: str,
    k: int = 10,
    *,
    model_version: int | None = None,
    filters: Filters = EVERYTHING,
) -> list[Neighbour]:
    """Find the tracks that sound most like one.

    Parameters
    ----------
    database : Database
        Migrated, with an active version.
    track_id : str
        A track that is served.
    k : int
        How many.
    model_version : int, optional
        A loaded version; the active one by default.
    filters : Filters
        Which tracks may be found.

    Returns
    -------
    list of Neighbour
        Nearest first; fewer than `k` if there are no more tracks.

    Raises
    ------
    DatabaseError
        If the track is unknown or gone, or the version is not loaded.
    """
    return _ask(database, "similar_tracks", k, model_version, filters, track_id=track_id)


def similar_segments(
    database: Database,
    track_id: str,
    start_ms: int,
    k: int = 10,
    *,
    model_version: int | None = None,
    filters: Filters = EVERYTHING,
) -> list[Neighbour]:
    """Find the other tracks with a moment most like one moment of a track.

    Parameters
    ----------
    start_ms : int
        Milliseconds; the segment that starts nearest to it is the query.
    database, track_id, k, model_version, filters
        As for `similar_tracks`.

    Returns
    -------
    list of Neighbour
        Nearest first.

    Raises
    ------
    DatabaseError
        As `similar_tracks`.
    """
    example = {"track_id": track_id, "start_ms": start_ms}
    return _ask(database, "similar_segments", k, model_version, filters, **example)


def similar_to_vector(
    database: Database,
    vector: NDArray[np.floating],
    k: int = 10,
    *,
    model_version: int | None = None,
    filters: Filters = EVERYTHING,
) -> list[Neighbour]:
    """Find the tracks nearest to an embedding.

    Parameters
    ----------
    vector : np.ndarray [128]
        By the encoder of `model_version`, which a caller therefore pins: vectors of different
        versions cannot be compared.
    database, k, model_version, filters
        As for `similar_tracks`.

    Returns
    -------
    list of Neighbour
        Nearest first.

    Raises
    ------
    DatabaseError
        If the vector has not 128 finite numbers or is zero, or the version is not loaded.
    """
    asked = Vector(np.asarray(vector, np.float32)).to_text()
    return _ask(database, "similar_to_vector", k, model_version, filters, vector=asked)


def more_like(
    database: Database,
    liked: Sequence[str],
    disliked: Sequence[str] = (),
    k: int = 10,
    *,
    model_version: int | None = None,
    filters: Filters = EVERYTHING,
) -> list[Neighbour]:
    """Find the tracks most like some examples and unlike others; the examples are left out.

    The query is the mean of the liked tracks less half the mean of the disliked (Rocchio).

    Parameters
    ----------
    liked, disliked : sequence of str
        Track ids; at least one is liked.
    database, k, model_version, filters
        As for `similar_tracks`.

    Returns
    -------
    list of Neighbour
        Nearest first.

    Raises
    ------
    DatabaseError
        If nothing is liked, an example is unknown or gone, or the version is not loaded.
    """
    examples = {"liked": list(liked), "disliked": list(disliked)}
    return _ask(database, "more_like", k, model_version, filters, **examples)


def _ask(
    database: Database,
    name: str,
    k: int,
    model_version: int | None,
    filters: Filters,
    **example: object,
) -> list[Neighbour]:
    values = {**example, "k": k, "model_version": model_version, **asdict(filters)}
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(Neighbour))
        return cursor.execute(query(name), values).fetchall()
