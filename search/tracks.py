"""The catalogue's metadata in the database, synchronised as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ml.errors import DatabaseError
from search.database import Database
from search.queries import query

TEXTS = ("title", "artist", "album")
LISTS = ("genres", "moods")
REQUIRED = ("track_id", *TEXTS, *LISTS, "split", "bucket", "digest")


@dataclass(frozen=True)
class TrackCounts:
    """What a synchronisation did.

    Parameters
    ----------
    new, changed, unchanged, gone : int
        Tracks; the first three add up to the catalogue.
    """

    new: int
    changed: int
    unchanged: int
    gone: int


def upsert_tracks(database: Database, frame: pd.DataFrame) -> TrackCounts:
    """Make the table of tracks say what the catalogue says, in one transaction.

    A track that is absent from the catalogue is marked gone and no longer found; its rows are
    kept, and it is served again when it comes back.

    Parameters
    ----------
    database : Database
        Migrated.
    frame : pandas.DataFrame
        The whole catalogue, one row per track: ``track_id, title, artist, album, genres, moods,
        split, bucket, digest`` and optionally ``duration_s`` (seconds). Genres and moods are
        sequences of str; more columns are ignored.

    Returns
    -------
    TrackCounts
        New, changed, unchanged and gone tracks.

    Raises
    ------
    DatabaseError
        If columns are missing, or the database refuses a row.
    """
    missing = [column for column in REQUIRED if column not in frame.columns]
    if missing:
        raise DatabaseError(
            f"The table of tracks lacks the columns {', '.join(missing)}: add them."
        )
    with database.transaction() as connection:
        connection.execute(query("create_incoming_tracks"))
        with connection.cursor() as cursor, cursor.copy(query("copy_incoming_tracks")) as copy:
            for row in _rows(frame):
                copy.write_row(row)
        connection.execute(query("lock_tracks"))
        changed = connection.execute(query("update_changed_tracks")).rowcount
        gone = connection.execute(query("mark_gone_tracks")).rowcount
        new = connection.execute(query("insert_new_tracks")).rowcount
    return TrackCounts(new, changed, len(frame) - new - changed, gone)


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    durations = frame["duration_s"] if "duration_s" in frame.columns else [None] * len(frame)
    columns = (frame[column] for column in REQUIRED)
    for *row, duration in zip(*columns, durations, strict=True):
        track_id, title, artist, album, genres, moods, split, bucket, digest = row
        yield (
            *map(_text, (track_id, title, artist, album)),
            [_text(value) for value in genres],
            [_text(value) for value in moods],
            split,
            int(bucket),
            digest,
            None if duration is None or pd.isna(duration) else float(duration),
        )


def _text(value: Any) -> str:  # noqa: ANN401 - a cell of a frame
    """Give a cell as text that Postgres takes: nothing for a missing value, no NUL."""
    return "" if value is None or pd.isna(value) else str(value).replace("\0", "")
