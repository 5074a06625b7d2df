"""Encoders of the versions that are served, kept in memory: an upload must not wait for files."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml.encoders import Encoder, load_encoder
from ml.errors import RegistryError
from search.database import Database
from search.queries import query

if TYPE_CHECKING:
    from ml.registry import Registry

KEPT = 3
"""The active version's, the one before it (a search under way may ask for it), the baseline's."""


class Encoders:
    """The encoder of each loaded version, fetched when it is first asked for.

    Parameters
    ----------
    database : Database
        Knows which run made a version.
    open_registry : callable
        Connects to where the encoders' files are; called once, at the first need.
    """

    def __init__(self, database: Database, open_registry: "Callable[[], Registry]") -> None:
        self._database, self._open = database, open_registry
        self._registry: Registry | None = None
        self._loaded: OrderedDict[int, Encoder] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, version: int) -> Encoder:
        """Give a version's encoder.

        Raises
        ------
        RegistryError, EncoderError
            The registry does not have it, or its files are damaged.
        """
        with self._lock:
            if version not in self._loaded:
                self._loaded[version] = self._load(version)
            self._loaded.move_to_end(version)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[version]

    def _load(self, version: int) -> Encoder:
        from ml.registry import ModelVersion  # MLflow takes seconds to import

        with self._database.transaction() as connection:
            row = connection.execute(query("run_of_version"), (version,)).fetchone()
        if row is None:
            raise RegistryError(f"There is no version {version}: search by the active one.")
        if self._registry is None:
            self._registry = self._open()
        with self._registry.encoder_folder(ModelVersion(version, row[0], "")) as folder:
            return load_encoder(folder)
