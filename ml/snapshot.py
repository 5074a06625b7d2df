"""What a catalogue was when a step worked on it, and how far it has moved since.

A snapshot holds two short facts of each track: one on its audio file (size and time, or ETag) and
one on everything else that its row says. Steps keep the snapshot that they have worked on as a
table of the workspace::

    seen        what the manifest said when `catalog` read it
    stored      what the audio store holds, bucket by bucket
    trained     what the last candidate was trained on
    evaluated   whose labels the last evaluation judged by
    indexed     what the active version serves
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ml.sources import fingerprint_files
from ml.splits import assign_bucket, hash_track
from ml.workspace import SNAPSHOTS, Workspace

SEEN, STORED, TRAINED, EVALUATED, INDEXED = SNAPSHOTS


@dataclass(frozen=True)
class Changes:
    """What is different between two snapshots, as track ids.

    Parameters
    ----------
    added, removed : frozenset of str
        Tracks of the second alone, and of the first alone.
    replaced : frozenset of str
        Tracks of both whose audio file is another.
    relabelled : frozenset of str
        Tracks of both whose row says something else.
    """

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    relabelled: frozenset[str] = frozenset()

    @property
    def audible(self) -> frozenset[str]:
        """Tracks whose embeddings are to be made or dropped."""
        return self.added | self.removed | self.replaced

    @property
    def buckets(self) -> list[int]:
        """Buckets of the audible changes, ascending."""
        return find_buckets(self.audible)

    def __bool__(self) -> bool:
        return bool(self.audible or self.relabelled)

    def __str__(self) -> str:
        named = {
            "added": self.added,
            "removed": self.removed,
            "with another file": self.replaced,
            "relabelled": self.relabelled,
        }
        return ", ".join(f"{len(ids):,} {name}" for name, ids in named.items() if ids) or "nothing"


def take_snapshot(tracks: pd.DataFrame) -> pd.DataFrame:
    """Take down what a catalogue is now.

    Parameters
    ----------
    tracks : pandas.DataFrame
        As `ml.catalog.read_catalog` gives them: `track_id`, `path` and what else is known.

    Returns
    -------
    pandas.DataFrame
        Columns `track_id`, `audio`, `labels`, by track id.
    """
    said = tracks.drop(columns=["track_id", "path"]).sort_index(axis=1)
    snapshot = pd.DataFrame(
        {
            "track_id": tracks["track_id"],
            "audio": tracks["path"].map(fingerprint_files(tracks["path"])),
            "labels": pd.util.hash_pandas_object(said.map(_to_text), index=False).astype(str),
        }
    )
    return snapshot.sort_values("track_id").reset_index(drop=True)


def digest_snapshot(snapshot: pd.DataFrame) -> str:
    """Name a snapshot by sixteen hexadecimal digits: the same for the same catalogue."""
    return hashlib.sha256(snapshot.to_csv(index=False).encode()).hexdigest()[:16]


def compare_snapshots(before: pd.DataFrame, now: pd.DataFrame) -> Changes:
    """Find what is different between two snapshots.

    Parameters
    ----------
    before, now : pandas.DataFrame
        As `take_snapshot` makes them.

    Returns
    -------
    Changes
    """
    old, new = before.set_index("track_id"), now.set_index("track_id")
    both = old.index.intersection(new.index)
    differs = old.loc[both].ne(new.loc[both])
    return Changes(
        added=frozenset(new.index.difference(old.index)),
        removed=frozenset(old.index.difference(new.index)),
        replaced=frozenset(both[differs["audio"]]),
        relabelled=frozenset(both[differs["labels"]]),
    )


def keep_snapshot(workspace: Workspace, name: str, source: str) -> None:
    """Note that a step has done what another snapshot says.

    Parameters
    ----------
    workspace : Workspace
        Holds both.
    name, source : str
        Of `SNAPSHOTS`. Without the source, in a workspace older than snapshots, nothing is noted.
    """
    if workspace.has_table(source):
        _save_changed(workspace, name, workspace.load_table(source))


def keep_stored(workspace: Workspace, buckets: Iterable[int]) -> None:
    """Note that the audio store holds what the manifest said, in some buckets."""
    if not workspace.has_table(SEEN):
        return
    chosen, seen = set(buckets), workspace.load_table(SEEN)
    before = workspace.load_table(STORED) if workspace.has_table(STORED) else seen.iloc[:0]
    parts = [
        before[~before["track_id"].map(_find_bucket).isin(chosen)],
        seen[seen["track_id"].map(_find_bucket).isin(chosen)],
    ]
    stored = pd.concat([part for part in parts if len(part)] or parts[:1])
    _save_changed(workspace, STORED, stored.sort_values("track_id").reset_index(drop=True))


def forget_snapshot(workspace: Workspace, name: str) -> None:
    """Note that what a step has done is to be looked at anew, in every bucket."""
    if workspace.has_table(name):
        workspace.save_table(name, workspace.load_table(name).iloc[:0])


def _save_changed(workspace: Workspace, name: str, snapshot: pd.DataFrame) -> None:
    """Save a snapshot if it says anything new: its date tells when a step last got further."""
    if not (workspace.has_table(name) and workspace.load_table(name).equals(snapshot)):
        workspace.save_table(name, snapshot)


def find_buckets(track_ids: Iterable[str]) -> list[int]:
    """List the buckets of some tracks, ascending."""
    return sorted({_find_bucket(track_id) for track_id in track_ids})


def _find_bucket(track_id: str) -> int:
    return assign_bucket(hash_track(track_id))


def _to_text(value: object) -> str:
    """Write a cell, a list of labels (or, read from Parquet, an array of them) with separators."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "|".join(map(str, value))
    return str(value)
