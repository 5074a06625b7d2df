"""The folder that a manifest lies in, and that its paths must stay in: local or remote."""

import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from ml.errors import CatalogError
from ml.paths import PathJudge, judge_text
from ml.sources import is_remote, list_files


class Root(Protocol):
    """What a manifest's paths are judged against."""

    def judge(self, path: str) -> str | None:
        """Reason code of `ml.paths.PATH_REMEDIES`, or None; nothing is raised for any path."""

    def locate(self, path: str) -> str:
        """Where a usable path leads, absolute."""


@dataclass(frozen=True)
class LocalRoot:
    """A folder of this machine.

    Parameters
    ----------
    folder : Path
        Absolute, links resolved.
    """

    folder: Path

    @cached_property
    def _judge(self) -> PathJudge:
        return PathJudge(self.folder)

    def judge(self, path: str) -> str | None:
        """See `ml.paths.PathJudge`."""
        return self._judge.judge(path)

    def locate(self, path: str) -> str:
        """Absolute path of the file."""
        return str(self.folder / path)


@dataclass(frozen=True)
class RemoteRoot:
    """A folder of another file system, listed once.

    Parameters
    ----------
    url : str
        Without a slash at its end.
    """

    url: str

    @cached_property
    def files(self) -> frozenset[str]:
        """URLs of all files below it."""
        return frozenset(list_files(self.url))

    @cached_property
    def folders(self) -> frozenset[str]:
        """URLs of all folders below it, and its own."""
        below = {self.url}
        for file in self.files:
            while (file := posixpath.dirname(file)) not in below and len(file) > len(self.url):
                below.add(file)
        return frozenset(below)

    def judge(self, path: str) -> str | None:
        """Judge the text of a path, then look it up; URLs below the root are paths too."""
        reason = judge_text(self._relate(path))
        if reason == "other_file_system" and path.startswith(f"{self._scheme}://"):
            return "outside_root"
        if reason:
            return reason
        if (target := self.locate(path)) in self.files:
            return None
        return "not_a_file" if target in self.folders else "missing_file"

    def locate(self, path: str) -> str:
        """URL of the file."""
        relative = posixpath.normpath(self._relate(path))
        return self.url if relative == "." else f"{self.url}/{relative}"

    def _relate(self, path: str) -> str:
        return path.removeprefix(f"{self.url}/")

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0]


def find_root(manifest: str) -> Root:
    """Take the folder of a manifest.

    Parameters
    ----------
    manifest : str
        Path or fsspec URL.

    Raises
    ------
    CatalogError
        The URL is a chain of several.
    """
    if not is_remote(manifest):
        return LocalRoot(Path(manifest).resolve().parent)
    if "::" in manifest:
        raise CatalogError(f"{manifest} is a chain of URLs: set CATALOG to one URL.")
    system, path = url_to_fs(manifest)
    if isinstance(system, LocalFileSystem):
        return LocalRoot(Path(path).resolve().parent)
    return RemoteRoot(system.unstrip_protocol(posixpath.dirname(path)).rstrip("/"))
