"""What is different between two moments of a catalogue."""

import os
from pathlib import Path

import pandas as pd
import pytest

from ml.snapshot import (
    INDEXED,
    SEEN,
    STORED,
    Changes,
    compare_snapshots,
    digest_snapshot,
    find_buckets,
    keep_snapshot,
    keep_stored,
    take_snapshot,
)
from ml.workspace import Workspace


@pytest.fixture
def tracks(tmp_path: Path) -> pd.DataFrame:
    """Write three files, and their rows."""
    rows = []
    for name in "abc":
        path = tmp_path / f"{name}.wav"
        path.write_bytes(name.encode() * 100)
        labels = {"genres": [name, "jazz"], "moods": []}
        rows.append({"track_id": name, "path": str(path), "title": name.upper(), **labels})
    return pd.DataFrame(rows)


def compare(before: pd.DataFrame, now: pd.DataFrame) -> Changes:
    return compare_snapshots(take_snapshot(before), take_snapshot(now))


def test_nothing_is_different_whatever_the_order(tracks: pd.DataFrame, tmp_path: Path) -> None:
    before = take_snapshot(tracks)
    now = take_snapshot(tracks.iloc[::-1].reset_index(drop=True)[list(tracks.columns[::-1])])
    assert not compare_snapshots(before, now)
    assert digest_snapshot(before) == digest_snapshot(now)
    workspace = Workspace(tmp_path)
    workspace.save_table(SEEN, before)
    assert not compare_snapshots(workspace.load_table(SEEN), now), "nor after it was kept"


def test_tracks_that_came_left_or_have_another_file(tracks: pd.DataFrame) -> None:
    before = take_snapshot(tracks)
    Path(tracks["path"][1]).write_bytes(b"other")
    now = tracks.drop(index=0)
    now.loc[9] = tracks.loc[0].to_dict() | {"track_id": "d"}
    changes = compare_snapshots(before, take_snapshot(now))
    assert changes == Changes(added=frozenset("d"), removed=frozenset("a"), replaced=frozenset("b"))
    assert changes.buckets == find_buckets("abd")
    assert str(changes) == "1 added, 1 removed, 1 with another file"


@pytest.mark.parametrize("field", ["title", "genres"])
def test_labels_are_told_from_audio(tracks: pd.DataFrame, field: str) -> None:
    now = tracks.copy()
    now[field] = [*tracks[field][:2], ["folk"] if field == "genres" else "Other"]
    assert compare(tracks, now) == Changes(relabelled=frozenset("c"))


def test_moved_file_is_the_same_file(tracks: pd.DataFrame, tmp_path: Path) -> None:
    before = take_snapshot(tracks)
    moved = tmp_path / "moved.wav"
    os.rename(tracks["path"][0], moved)  # noqa: PTH104 (keeps the time)
    tracks.loc[0, "path"] = str(moved)
    assert not compare_snapshots(before, take_snapshot(tracks))


def test_stored_follows_bucket_by_bucket(tracks: pd.DataFrame, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    keep_stored(workspace, range(100))
    assert not workspace.has_table(STORED), "nothing was seen yet"
    workspace.save_table(SEEN, take_snapshot(tracks))
    keep_stored(workspace, find_buckets("a"))
    assert list(workspace.load_table(STORED)["track_id"]) == ["a"]
    keep_stored(workspace, range(100))
    assert list(workspace.load_table(STORED)["track_id"]) == ["a", "b", "c"]
    workspace.save_table(SEEN, take_snapshot(tracks.drop(index=[0, 1])))
    keep_stored(workspace, find_buckets("b"))
    assert list(workspace.load_table(STORED)["track_id"]) == ["a", "c"], "a was not looked at"


def test_date_of_a_snapshot_is_when_it_changed(tracks: pd.DataFrame, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.save_table(SEEN, take_snapshot(tracks))
    keep_snapshot(workspace, INDEXED, SEEN)
    file = workspace.table_folder / f"{INDEXED}.parquet"
    os.utime(file, (1, 1))
    keep_snapshot(workspace, INDEXED, SEEN)
    assert workspace.date_table(INDEXED).timestamp() == 1
    workspace.save_table(SEEN, take_snapshot(tracks.drop(index=0)))
    keep_snapshot(workspace, INDEXED, SEEN)
    assert workspace.date_table(INDEXED).timestamp() > 1
