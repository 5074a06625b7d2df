"""Removing every trace of a track from the disk: its audio, its clips, its rows of tables."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ml.audio_store import AudioStore
from ml.splits import assign_bucket, hash_track
from ml.storage import sweep_temporaries
from ml.workspace import TRACK_TABLES, Workspace


def list_stores(workspace: Workspace) -> list[AudioStore]:
    """List every audio store, evaluated catalogues' included."""
    evaluated = sorted(path.parent for path in workspace.root.glob("evaluated/*/audio"))
    return [Workspace(root).store for root in (workspace.root, *evaluated)]


def remove_audio(workspace: Workspace, store: AudioStore, track_id: str) -> dict[str, int]:
    """Remove a track from an audio store.

    Parameters
    ----------
    workspace : Workspace
        The pipeline's state.
    store : AudioStore
        One of `list_stores`.
    track_id : str
        Any id; nothing happens for one that is not stored.

    Returns
    -------
    dict of str to int
        Clips and files removed, by the path relative to the workspace; only what was there.

    Raises
    ------
    CatalogError
        A run is at work on the track's bucket.
    """
    removed = _remove_from(store, hash_track(track_id))
    return {str(path.relative_to(workspace.root)): count for path, count in removed.items()}


def remove_rows(workspace: Workspace, track_id: str) -> dict[str, int]:
    """Remove a track from the tables that later steps read.

    Returns
    -------
    dict of str to int
        Rows removed, by table; only what was there.
    """
    removed = workspace.remove_track(track_id)
    sweep_temporaries(workspace.table_folder)  # a killed writer may have left a copy with the track
    return {f"table {name}": count for name, count in removed.items()}


def find_remains(workspace: Workspace, track_id: str) -> list[str]:
    """List what is left of a track on the disk: files, manifests and tables that name it."""
    digest = hash_track(track_id)
    bucket = assign_bucket(digest)
    found: list[str] = []
    for store in list_stores(workspace):
        found += map(str, store.audio_path(digest).parent.glob(f"*{digest}*"))
        if any((frame["digest"] == digest).any() for frame in store.read_manifests(bucket)):
            found.append(f"manifest of bucket {bucket:02d} in {store.root}")
    tables = _tables(workspace)
    return found + [
        f"table {name}" for name, rows in tables if (rows["track_id"] == track_id).any()
    ]


def _tables(workspace: Workspace) -> Iterator[tuple[str, pd.DataFrame]]:
    present = (name for name in TRACK_TABLES if workspace.has_table(name))
    yield from ((name, workspace.load_table(name)) for name in present)


def _remove_from(store: AudioStore, digest: str) -> dict[Path, int]:
    """Rewrite the bucket's manifests without the track, and with them go its files."""
    bucket, audio = assign_bucket(digest), store.audio_path(digest)
    if not audio.parent.exists():
        return {}
    removed: dict[Path, int] = {}
    with store.lock(bucket):
        manifests = store.read_manifests(bucket)
        kept = [frame[frame["digest"] != digest] for frame in manifests]
        stored = store.audio_files(digest)
        if rows := sum(map(len, manifests)) - sum(map(len, kept)):
            store.write_bucket(bucket, *kept)
            removed[audio.parent / "manifests"] = rows
        for path in stored:
            path.unlink(missing_ok=True)  # also one that no manifest names yet
            removed[path] = 1
        store.sweep(bucket)
    return removed
