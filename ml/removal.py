"""Removing every trace of a track from the disk: its audio, its clips, its rows of tables."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from ml.audio_store import AudioStore
from ml.snapshot import SNAPSHOTS
from ml.splits import assign_bucket, hash_track
from ml.storage import sweep_temporaries
from ml.workspace import Workspace

TABLES = ("catalog", "tracks", *SNAPSHOTS)
"""Tables that a later step would make clips from, or that name tracks."""


def remove_audio(workspace: Workspace, track_id: str) -> dict[str, int]:
    """Remove a track from every audio store, evaluated catalogues' included.

    Parameters
    ----------
    workspace : Workspace
        The pipeline's state.
    track_id : str
        Any id; nothing happens for one that is not stored.

    Returns
    -------
    dict of str to int
        Clips and files removed, by the path relative to the workspace; only what was there.
    """
    digest = hash_track(track_id)
    removed: dict[str, int] = {}
    for store in _stores(workspace):
        removed |= {
            str(path.relative_to(workspace.root)): count
            for path, count in _remove_from(store, digest).items()
        }
    return removed


def remove_rows(workspace: Workspace, track_id: str) -> dict[str, int]:
    """Remove a track from the tables that later steps read.

    Returns
    -------
    dict of str to int
        Rows removed, by table; only what was there.
    """
    removed: dict[str, int] = {}
    for name, table in _tables(workspace):
        kept = table[table["track_id"] != track_id]
        if len(kept) < len(table):
            workspace.save_table(name, kept.reset_index(drop=True))
            removed[f"table {name}"] = len(table) - len(kept)
    sweep_temporaries(workspace.table_folder)  # a killed writer may have left a copy with the track
    return removed


def find_remains(workspace: Workspace, track_id: str) -> list[str]:
    """List what is left of a track on the disk: files, manifests and tables that name it."""
    digest = hash_track(track_id)
    bucket = assign_bucket(digest)
    found: list[str] = []
    for store in _stores(workspace):
        found += map(str, store.audio_path(digest).parent.glob(f"*{digest}*"))
        frames = (read([bucket]) for read in _readers(store))
        if any((frame["digest"] == digest).any() for frame in frames):
            found.append(f"manifest of bucket {bucket:02d} in {store.root}")
    tables = _tables(workspace)
    return found + [
        f"table {name}" for name, rows in tables if (rows["track_id"] == track_id).any()
    ]


def _stores(workspace: Workspace) -> list[AudioStore]:
    evaluated = sorted(path.parent for path in workspace.root.glob("evaluated/*/audio"))
    return [Workspace(root).store for root in (workspace.root, *evaluated)]


def _tables(workspace: Workspace) -> Iterator[tuple[str, pd.DataFrame]]:
    present = (name for name in TABLES if workspace.has_table(name))
    yield from ((name, workspace.load_table(name)) for name in present)


def _readers(store: AudioStore) -> tuple[Callable[[list[int]], pd.DataFrame], ...]:
    """List what reads a bucket's manifests, in the order in which `write_bucket` takes them."""
    return store.read_clips, store.read_rejected, store.read_gone


def _remove_from(store: AudioStore, digest: str) -> dict[Path, int]:
    """Rewrite the bucket's manifests without the track, and with them go its files."""
    bucket, audio = assign_bucket(digest), store.audio_path(digest)
    if not audio.parent.exists():
        return {}
    removed: dict[Path, int] = {}
    with store.lock(bucket):
        manifests = [read([bucket]) for read in _readers(store)]
        kept = [frame[frame["digest"] != digest] for frame in manifests]
        stored = audio.exists()
        if rows := sum(map(len, manifests)) - sum(map(len, kept)):
            store.write_bucket(bucket, *kept)
            removed[audio.parent / "manifests"] = rows
        if stored:
            audio.unlink(missing_ok=True)  # also one that no manifest names yet
            removed[audio] = 1
        store.sweep(bucket)
    return removed
