"""Publishing a production model: windows, index, activation, and what a repetition costs."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml.errors import DatabaseError, RegistryError, SoundalikeError
from ml.workspace import Workspace
from search.database import Database
from search.index import activate, active_version, list_models
from search.publication import (
    activate_production,
    index_production,
    publish_windows,
    recall_report,
)
from search.similarity import similar_tracks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import CopyDatabase, Home

EVERY = range(100)


@pytest.fixture
def home(finished: "Home", tmp_path: "Path") -> "Home":
    """Copy the finished home; its database is not used here, the clean one is."""
    return finished.copy(tmp_path / "data")


@pytest.fixture(scope="module")
def published(copy_database: "CopyDatabase", finished: "Home") -> Iterator[Database]:
    """Load the production version of the finished home, half of the buckets first."""
    with copy_database("migrated") as database:
        registry, workspace = finished.registry(), finished.workspace
        first, counts = publish_windows(database, registry, workspace, EVERY[:50])
        assert (first.buckets_embedded, counts.new) == (50, 38)
        rest, counts = publish_windows(database, registry, workspace, EVERY)
        assert (rest.buckets_embedded, rest.buckets_unchanged) == (50, 50)
        assert (counts.unchanged, counts.new, counts.changed, counts.gone) == (38, 0, 0, 0)
        assert first.windows + rest.windows == 76
        yield database


def test_version_serves_only_when_it_is_whole(database: Database, home: "Home") -> None:
    registry, workspace = home.registry(), home.workspace
    publish_windows(database, registry, workspace, EVERY[:99])
    with pytest.raises(DatabaseError):
        activate_production(database, workspace)
    assert active_version(database) is None
    publish_windows(database, registry, workspace, EVERY)
    with pytest.raises(DatabaseError):
        activate_production(database, workspace)
    built, report = index_production(database, workspace)
    assert built
    assert report.passed
    assert recall_report(workspace) == report
    previous, version, models = activate_production(database, workspace)
    assert (previous, version) == (None, 1)
    assert list(models["active"]) == [True]


def test_how_good_a_version_is_can_be_asked_of_the_database(
    published: Database, home: "Home"
) -> None:
    with published.transaction() as connection:
        (found,) = connection.execute("SELECT metrics FROM model_overview").fetchone() or ({},)
    rows = home.workspace.load_record("evaluation")["rows"]["test"]
    convnet = [row for row in rows if row["encoder"] == "convnet"]
    assert len(convnet) > 3
    for row in convnet:
        assert found[row["annotation"]][row["protocol"]] == row["map"]


def test_repetition_does_nothing(published: Database, home: "Home") -> None:
    index_production(published, home.workspace)
    activate_production(published, home.workspace)
    load, counts = publish_windows(published, home.registry(), home.workspace, EVERY)
    assert (load.buckets_embedded, load.windows, counts.unchanged) == (0, 0, 38)
    built, again = index_production(published, home.workspace)
    assert not built
    assert again == recall_report(home.workspace)
    previous, version, _ = activate_production(published, home.workspace)
    assert (previous, version) == (None, 1)


def test_gate_that_failed_is_asked_anew_after_a_repair(published: Database, home: "Home") -> None:
    _, report = index_production(published, home.workspace)
    home.workspace.save_record("index", asdict(replace(report, recall=0.5)))
    assert not recall_report(home.workspace).passed
    index_production(published, home.workspace)
    assert recall_report(home.workspace).passed


def test_edited_title_is_published_without_embedding(database: Database, home: "Home") -> None:
    registry, workspace = home.registry(), home.workspace
    publish_windows(database, registry, workspace, EVERY)
    tracks = workspace.load_table("tracks")
    edited = tracks["title"].where(tracks["track_id"] != "tone_000", "Another title")
    workspace.save_table("tracks", tracks.assign(title=edited))
    load, counts = publish_windows(database, registry, workspace, EVERY)
    assert (load.buckets_embedded, counts.changed, counts.unchanged) == (0, 1, 37)


def test_removed_track_is_embedded_no_more(database: Database, home: "Home") -> None:
    registry, workspace = home.registry(), home.workspace
    publish_windows(database, registry, workspace, EVERY)
    tracks = workspace.load_table("tracks")
    workspace.save_table("tracks", tracks[tracks["track_id"] != "tone_000"])
    load, counts = publish_windows(database, registry, workspace, EVERY)
    assert (load.buckets_embedded, load.tracks_embedded, counts.gone) == (1, 0, 1)
    index_production(database, workspace)
    activate_production(database, workspace)
    other = str(tracks["track_id"][tracks["track_id"] != "tone_000"].iloc[0])
    found = [n.track_id for n in similar_tracks(database, other, 50)]
    ranked, pairs = rank_all(database, other)
    assert set(ranked) == set(tracks["track_id"]) - {"tone_000", "damaged", other}
    assert (
        found
        == [  # tones that are nearly one recording stand for each other
            track
            for n, track in enumerate(ranked)
            if not any({track, o} in pairs for o in ranked[:n])
        ]
    )
    workspace.save_table("tracks", tracks)
    load, counts = publish_windows(database, registry, workspace, EVERY)
    assert (load.buckets_embedded, load.tracks_embedded, load.windows) == (1, 1, 2)


def rank_all(database: Database, track_id: str) -> tuple[list[str], list[set[str]]]:
    """Rank every track beside one, duplicates too; the pairs of duplicates."""
    near = "SELECT track_id FROM nearest_tracks(track_vector(%s, NULL, 1), 50, 1, ARRAY[%s]) n"
    with database.transaction() as connection:
        ranked = connection.execute(f"{near} ORDER BY rank", (track_id, track_id)).fetchall()
        pairs = connection.execute("SELECT track_id, duplicate_id FROM duplicates").fetchall()
    return [track for (track,) in ranked], [set(pair) for pair in pairs]


def test_two_versions_are_loaded_and_one_is_active(database: Database, home: "Home") -> None:
    registry, workspace = home.registry(), home.workspace
    for number in (1, 2):
        if number == 2:
            version = registry.register(workspace.load_record("baseline_model")["run_id"], "other")
            workspace.save_record("production_model", {"version": version.number})
        publish_windows(database, registry, workspace, EVERY)
        index_production(database, workspace)
        assert active_version(database) == (None if number == 1 else 1)
        previous, active, _ = activate_production(database, workspace)
        assert (previous, active) == (None if number == 1 else 1, number)
    assert [model.segments for model in list_models(database)] == [76, 76]
    second = [n.distance for n in similar_tracks(database, "tone_000", 5)]
    activate(database, 1)
    first = [n.distance for n in similar_tracks(database, "tone_000", 5)]
    assert not np.allclose(first, second)


def test_publishing_without_a_production_model_says_what_to_do(
    database: Database, home: "Home", tmp_path: "Path"
) -> None:
    with pytest.raises(SoundalikeError, match="materialise `production_model` first"):
        publish_windows(database, home.registry(), Workspace(tmp_path / "none"), EVERY)
    home.workspace.save_record("production_model", {"version": 7})
    with pytest.raises(RegistryError, match="no version 7"):
        publish_windows(database, home.registry(), home.workspace, EVERY)
