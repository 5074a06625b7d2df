"""Paths of a manifest: each names a readable file below the manifest's folder, or says why not."""

import os
import re
import stat
from pathlib import Path

PATH_REMEDIES = {
    "missing_path": "give the row the path of its audio file",
    "other_file_system": "use a path relative to the manifest's folder",
    "absolute_path": "use a path relative to the manifest's folder",
    "outside_root": "use a path that does not lead out of the manifest's folder",
    "link_outside_root": "put the file itself in place of the link, which leads elsewhere",
    "missing_file": "put the file where the row says, or correct the path",
    "not_a_file": "name a file; this is a folder or a device",
    "unreadable": "let the user that runs this read the file",
}
"""Reason code of a path that cannot be used -> what to do about it."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*:(:[a-z0-9+.-]*)*//", re.IGNORECASE)  # chained ones too


class PathJudge:
    """Says why paths of a folder cannot be used; each folder below it is looked up once.

    Parameters
    ----------
    root : Path
        The manifest's folder, resolved.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, str | None] = {}

    def judge(self, path: str) -> str | None:
        """Say why a path cannot be used.

        Parameters
        ----------
        path : str
            As the manifest has it. Whatever it holds, nothing is raised.

        Returns
        -------
        str or None
            Of `PATH_REMEDIES`, the first that applies; None for the path of a readable file.
        """
        if reason := judge_text(path):
            return reason
        return None if self._is_plain(path) else _judge_target(self._root, path)

    def _is_plain(self, path: str) -> bool:
        """Tell whether it is a file in a folder that is known to be fine, which nearly all are."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = _resolve_folder(self._root, folder)
        parent = self._folders[folder]
        if parent is None or name in ("", os.curdir, os.pardir):
            return False
        target = f"{parent}/{name}"
        try:
            regular = stat.S_ISREG(os.lstat(target).st_mode)
        except (OSError, ValueError):
            return False
        return regular and os.access(target, os.R_OK, effective_ids=True)


def judge_text(path: str) -> str | None:
    """Say why a path cannot be used whatever lies there, as `PathJudge` does."""
    if not path.strip():
        return "missing_path"
    if _URL.match(path):
        return "other_file_system"
    if path.startswith("/"):
        return "absolute_path"
    if os.path.normpath(path).split("/", 1)[0] == os.pardir:
        return "outside_root"
    return None


def _judge_target(root: Path, path: str) -> str | None:
    try:
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            return "link_outside_root"
        # As it will be opened: resolving lets `file/..` pass, which leads nowhere.
        mode = (root / path).stat().st_mode
    except PermissionError:
        return "unreadable"
    except (OSError, ValueError, RuntimeError):  # too long, with a zero byte, a loop of links
        return "missing_file"
    if not stat.S_ISREG(mode):
        return "not_a_file"
    return None if os.access(target, os.R_OK, effective_ids=True) else "unreadable"


def _resolve_folder(root: Path, folder: str) -> str | None:
    """Resolve a folder below the root; None for anything else."""
    try:
        resolved = (root / folder).resolve(strict=True)
        # As it will be opened: resolving lets `file/..` pass.
        fine = resolved.is_relative_to(root) and stat.S_ISDIR((root / folder).stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        return None
    return str(resolved) if fine else None
