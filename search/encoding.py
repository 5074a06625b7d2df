"""Encoders of the versions that are served, kept in memory: an upload must not wait for files."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml.encoders import Encoder, choose_device, load_encoder
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
        self._lock, self._loading = threading.Lock(), threading.Lock()

    def of(self, version: int) -> Encoder:
        """Give a version's encoder.

        Raises
        ------
        RegistryError, EncoderError
            The registry does not have it, or its files are damaged.
        """
        if (known := self._find(version)) is not None:
            return known
        with self._loading:  # uploads in versions that are loaded do not wait for it
            found = self._find(version)
            if found is None:
                found = self._load(version)
                self._keep(version, found)
        return found

    def _find(self, version: int) -> Encoder | None:
        with self._lock:
            if version in self._loaded:
                self._loaded.move_to_end(version)
            return self._loaded.get(version)

    def _keep(self, version: int, encoder: Encoder) -> None:
        with self._lock:
            self._loaded[version] = encoder
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)

    def _load(self, version: int) -> Encoder:
        from ml.registry import ModelVersion  # MLflow takes seconds to import

        with self._database.transaction() as connection:
            row = connection.execute(query("run_of_version"), (version,)).fetchone()
        if row is None:
            raise RegistryError(f"There is no version {version}: search by the active one.")
        if self._registry is None:
            self._registry = self._open()
        with self._registry.encoder_folder(ModelVersion(version, row[0], "")) as folder:
            return load_encoder(folder, choose_device())
