"""Encoders of the versions that are served, kept in memory: an upload must not wait for files."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ml.encoders import Encoder, load_encoder

if TYPE_CHECKING:
    from ml.registry import Registry

KEPT = 2
"""The active version's and the one before it: a search under way may still ask for that."""


class Encoders:
    """The encoder of each version, loaded when it is first asked for.

    Parameters
    ----------
    open_registry : callable
        Connects to where the encoders are; called once, at the first need.
    """

    def __init__(self, open_registry: "Callable[[], Registry]") -> None:
        self._open = open_registry
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
        if self._registry is None:
            self._registry = self._open()
        with self._registry.encoder_folder(self._registry.find_version(version)) as folder:
            return load_encoder(folder)
