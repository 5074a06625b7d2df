"""The catalogue as the page shows it: tracks, what there is to filter by, the active version."""

from dataclasses import dataclass, field
from datetime import datetime

from psycopg.rows import class_row

from search.database import Database
from search.queries import query


@dataclass(frozen=True)
class TrackCard:
    """A served track.

    Parameters
    ----------
    duration_ms : int or None
        Milliseconds, where known.
    loudness_lufs : float or None
        Integrated, by ITU-R BS.1770-4.
    """

    track_id: str
    title: str
    artist: str
    album: str
    genres: list[str]
    moods: list[str]
    duration_ms: int | None
    loudness_lufs: float | None


@dataclass(frozen=True)
class ActiveModel:
    """The version that everyone queries."""

    version: int
    since: datetime
    name: str
    segments: int
    tracks: int
    recall: float | None
    trustworthiness: float | None


@dataclass
class Facets:
    """Names to filter by, each with its number of served tracks, most first."""

    genres: list[tuple[str, int]] = field(default_factory=list)
    moods: list[tuple[str, int]] = field(default_factory=list)
    artists: list[tuple[str, int]] = field(default_factory=list)


def find_track(database: Database, track_id: str) -> TrackCard | None:
    """Find a served track."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(TrackCard))
        return cursor.execute(query("find_track"), (track_id,)).fetchone()


def find_tracks(database: Database, words: str, limit: int, skip: int = 0) -> list[TrackCard]:
    """Find served tracks by a part of title, artist or id; those that begin with it come first.

    Parameters
    ----------
    database : Database
        Migrated.
    words : str
        Case does not matter; every track has none of it.
    limit, skip : int
        How many, and how many before them.
    """
    values = {"words": words.strip(), "limit": limit, "skip": skip}
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(TrackCard))
        return cursor.execute(query("find_tracks"), values).fetchall()


def list_facets(database: Database) -> Facets:
    """List genres, moods and artists of the served tracks."""
    facets = Facets()
    with database.transaction() as connection:
        for facet, name, tracks in connection.execute(query("list_facets")):
            getattr(facets, facet).append((name, tracks))
    return facets


def describe_active(database: Database) -> ActiveModel | None:
    """Tell which version everyone queries, if there is one."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(ActiveModel))
        return cursor.execute(query("describe_active")).fetchone()
