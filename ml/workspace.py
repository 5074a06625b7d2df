"""What the pipeline keeps on disk between its steps, by name.

::

    <root>/tables/<name>.parquet           tables that one step leaves for the next
    <root>/records/<name>.json             small facts, such as which model is the candidate
    <root>/audio/<bucket>/                 the audio store (see `ml.clips`)
    <root>/models/<kind>/<fingerprint>/    encoders, one folder per content
    <root>/pictures/<fingerprint>/         of the last evaluation
"""

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ml.audio_store import AudioStore
from ml.errors import SoundalikeError
from ml.locks import lock_file
from ml.storage import replace_file

SNAPSHOTS = ("seen", "stored", "trained", "evaluated", "indexed")
"""What a catalogue was when a step worked on it (see `ml.snapshot`)."""

TRACK_TABLES = ("catalog", "tracks", *SNAPSHOTS)
"""Tables from which a step would make something of a track."""

_DENIED = "denylist"


@dataclass(frozen=True)
class Workspace:
    """Folder of the pipeline's state.

    Parameters
    ----------
    root : Path
        `DATA_DIR`, absolute.
    """

    root: Path

    @property
    def store(self) -> AudioStore:
        """The audio store."""
        return AudioStore(self.root / "audio")

    def model_folder(self, kind: str, fingerprint: str) -> Path:
        """Folder of an encoder, by what it was made from."""
        return self.root / "models" / kind / fingerprint

    def checkpoint_folder(self, kind: str, fingerprint: str) -> Path:
        """Folder of a training that is not done yet."""
        return self.root / "training" / f"{kind}-{fingerprint}"

    def picture_folder(self, fingerprint: str) -> Path:
        """Folder of an evaluation's pictures, by what decides it."""
        return self.root / "pictures" / fingerprint

    @property
    def table_folder(self) -> Path:
        """Folder of the tables."""
        return self.root / "tables"

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Replace a table; one of `TRACK_TABLES` is saved without tracks that were taken down."""
        with self._lock():
            if name in TRACK_TABLES and (denied := self.denied_tracks()):
                table = table[~table["track_id"].isin(denied)].reset_index(drop=True)
            self._write_table(name, table)

    def remove_track(self, track_id: str) -> dict[str, int]:
        """Remove a track from `TRACK_TABLES`, not beside a step that saves one of them.

        Returns
        -------
        dict of str to int
            Rows removed, by table; only where there were any.
        """
        removed: dict[str, int] = {}
        with self._lock():
            for name in filter(self.has_table, TRACK_TABLES):
                table = self.load_table(name)
                named = table["track_id"] == track_id
                if named.any():
                    self._write_table(name, table[~named].reset_index(drop=True))
                    removed[name] = int(named.sum())
        return removed

    def denied_tracks(self) -> frozenset[str]:
        """List the tracks that were taken down, for steps that have no database."""
        if not self.has_record(_DENIED):
            return frozenset()
        return frozenset(self.load_record(_DENIED)["track_ids"])

    def keep_denylist(self, read: Callable[[], Collection[str]]) -> frozenset[str]:
        """Copy the denylist.

        Parameters
        ----------
        read : callable
            Gives the ids on it; called while nobody else copies it, so that the last copy is of
            the last state.

        Returns
        -------
        frozenset of str
        """
        with self._lock():
            denied = frozenset(read())
            if denied != self.denied_tracks():
                self.save_record(_DENIED, {"track_ids": sorted(denied)})
        return denied

    def load_table(self, name: str) -> pd.DataFrame:
        """Read a table.

        Raises
        ------
        SoundalikeError
            The step that makes it has not run.
        """
        path = self._table_path(name)
        if not path.exists():
            raise SoundalikeError(f"There is no table `{name}` yet: materialise `{name}` first.")
        return pd.read_parquet(path)

    def has_table(self, name: str) -> bool:
        """Tell whether a table was made."""
        return self._table_path(name).exists()

    def date_table(self, name: str) -> datetime:
        """Tell when a table was saved."""
        return datetime.fromtimestamp(self._table_path(name).stat().st_mtime, UTC)

    def save_record(self, name: str, record: Mapping[str, Any]) -> None:
        """Replace a record."""
        with replace_file(self._record_path(name)) as file:
            file.write(json.dumps(record, indent=2).encode())

    def load_record(self, name: str) -> dict[str, Any]:
        """Read a record.

        Raises
        ------
        SoundalikeError
            The step that makes it has not run.
        """
        if not self.has_record(name):
            raise SoundalikeError(f"There is no `{name}` yet: materialise `{name}` first.")
        record: dict[str, Any] = json.loads(self._record_path(name).read_bytes())
        return record

    def date_record(self, name: str) -> datetime:
        """Tell when a record was saved."""
        return datetime.fromtimestamp(self._record_path(name).stat().st_mtime, UTC)

    def has_record(self, name: str) -> bool:
        """Tell whether a record was made."""
        return self._record_path(name).exists()

    def _lock(self) -> AbstractContextManager[None]:
        return lock_file(self.root / "tables.lock")

    def _write_table(self, name: str, table: pd.DataFrame) -> None:
        with replace_file(self._table_path(name)) as file:
            table.to_parquet(file, index=False)

    def _table_path(self, name: str) -> Path:
        return self.table_folder / f"{name}.parquet"

    def _record_path(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"
