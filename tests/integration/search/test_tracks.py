"""The catalogue's metadata in the database."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ml.errors import DatabaseError
from search.database import Database
from search.similarity import similar_tracks
from search.tracks import TrackCounts, upsert_tracks

if TYPE_CHECKING:
    from tests.integration.search.conftest import Catalogue


def states(database: Database) -> dict[str, str]:
    with database.transaction() as connection:
        return dict(connection.execute("SELECT track_id, state FROM tracks").fetchall())


def test_upsert_counts_new_changed_unchanged_and_gone(
    database: Database, catalogue: "Catalogue"
) -> None:
    frame = catalogue.frame
    assert upsert_tracks(database, frame) == TrackCounts(40, 0, 0, 0)
    assert upsert_tracks(database, frame) == TrackCounts(0, 0, 40, 0)
    edited = frame.assign(title=frame["title"].where(frame.index != 3, "Another title"))
    assert upsert_tracks(database, edited.iloc[:38]) == TrackCounts(0, 1, 37, 2)
    assert upsert_tracks(database, edited.iloc[:38]) == TrackCounts(0, 0, 38, 0)
    assert upsert_tracks(database, edited) == TrackCounts(0, 2, 38, 0)
    assert set(states(database).values()) == {"served"}


def test_upsert_keeps_metadata_as_it_is(database: Database, catalogue: "Catalogue") -> None:
    awkward = catalogue.frame.head(1).assign(
        title="tab\t newline\n \\N {a,b} \0 'quote'",
        artist=np.nan,
        genres=pd.Series([np.array(["r&b", "drum, bass"], dtype=object)]),
    )
    upsert_tracks(database, awkward.drop(columns="duration_s"))
    with database.transaction() as connection:
        statement = "SELECT title, artist, album, genres, moods, duration_s FROM tracks"
        found = connection.execute(statement).fetchone()
    title = "tab\t newline\n \\N {a,b}  'quote'"
    assert found == (title, "", "", ["r&b", "drum, bass"], [], None)


def test_upsert_leaves_a_taken_down_track_alone(database: Database, catalogue: "Catalogue") -> None:
    upsert_tracks(database, catalogue.frame)
    taken = catalogue.frame["track_id"][0]
    with database.transaction() as connection:
        connection.execute("UPDATE tracks SET state = 'taken_down' WHERE track_id = %s", (taken,))
    assert upsert_tracks(database, catalogue.frame) == TrackCounts(0, 0, 40, 0)
    assert states(database)[taken] == "taken_down"


def test_upsert_names_missing_columns(database: Database, catalogue: "Catalogue") -> None:
    with pytest.raises(DatabaseError, match="lacks the columns title, digest"):
        upsert_tracks(database, catalogue.frame.drop(columns=["title", "digest"]))


def test_track_that_is_gone_is_found_no_more(database: Database, catalogue: "Catalogue") -> None:
    catalogue.serve(database, 1)
    query = catalogue.frame["track_id"][0]
    nearest = similar_tracks(database, query, 1)[0].track_id
    rest = catalogue.frame[catalogue.frame["track_id"] != nearest]
    upsert_tracks(database, rest)
    assert nearest not in {n.track_id for n in similar_tracks(database, query, 40)}
    with pytest.raises(DatabaseError, match="no longer in the catalogue"):
        similar_tracks(database, nearest)
    upsert_tracks(database, catalogue.frame)
    assert similar_tracks(database, query, 1)[0].track_id == nearest
