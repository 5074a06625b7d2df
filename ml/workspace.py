"""What the pipeline keeps on disk between its steps, by name.

::

    <root>/tables/<name>.parquet           tables that one step leaves for the next
    <root>/records/<name>.json             small facts, such as which model is the candidate
    <root>/audio/<bucket>/                 the audio store (see `ml.clips`)
    <root>/models/<kind>/<fingerprint>/    encoders, one folder per content
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ml.audio_store import AudioStore
from ml.errors import SoundalikeError
from ml.storage import replace_file


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

    @property
    def table_folder(self) -> Path:
        """Folder of the tables."""
        return self.root / "tables"

    def save_table(self, name: str, table: pd.DataFrame) -> None:
        """Replace a table."""
        with replace_file(self._table_path(name)) as file:
            table.to_parquet(file, index=False)

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

    def has_record(self, name: str) -> bool:
        """Tell whether a record was made."""
        return self._record_path(name).exists()

    def _table_path(self, name: str) -> Path:
        return self.table_folder / f"{name}.parquet"

    def _record_path(self, name: str) -> Path:
        return self.root / "records" / f"{name}.json"
