"""Who may use the API: a file of hashed tokens, each with a role and a name.

A line is ``sha256:<64 hex digits> <role> <name>``; blank lines and those that begin with ``#`` are
skipped. A token is 256 random bits, which no dictionary holds, so that one SHA-256 of it is enough.
The file is read again when it changes: a line that is removed lets nobody in any more.
"""

import hashlib
import os
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ml.errors import SoundalikeError
from ml.storage import replace_file

Role = Literal["listen", "rate", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may what those before it may."""

_LINE = re.compile(r"sha256:([0-9a-f]{64})[ \t]+(listen|rate|admin)[ \t]+(\S.*)")


def includes(role: Role | None, needed: Role) -> bool:
    """Tell whether a role may do what `needed` may."""
    return role is not None and ROLES.index(role) >= ROLES.index(needed)


@dataclass(frozen=True)
class Identity:
    """Whom a token belongs to."""

    name: str
    role: Role


class TokenFile:
    """The tokens that are let in, read again whenever the file changes.

    Parameters
    ----------
    path : Path
        Written by `add_token`.

    Raises
    ------
    SoundalikeError
        It cannot be read, or a line of it is not understood.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, Identity] = {}
        self._refresh()

    def identify(self, token: str) -> Identity | None:
        """Tell whose token this is; nobody's while the file cannot be read.

        Parameters
        ----------
        token : str
            As presented.

        Returns
        -------
        Identity or None
        """
        try:
            self._refresh()
        except SoundalikeError:
            return None
        # Found by its hash: how long that takes tells nothing about the tokens in the file.
        return self._known.get(_hash(token))

    def _refresh(self) -> None:
        with self._lock:
            try:
                status = self.path.stat()
                stamp = (status.st_mtime_ns, status.st_ino)
                if stamp != self._stamp:
                    self._known = _parse(self.path.read_text(encoding="utf-8"), self.path)
                    self._stamp = stamp
            except (OSError, UnicodeDecodeError) as error:
                raise SoundalikeError(
                    f"The file of tokens {self.path} cannot be read: make it with "
                    "`soundalike token new NAME`, or unset API_TOKENS_FILE."
                ) from error


def add_token(path: Path, name: str, role: Role) -> str:
    """Make a token, and put its hash into the file.

    Parameters
    ----------
    path : Path
        Made if absent, readable by its owner alone.
    name : str
        Whose it is: one line, shown in logs.
    role : str
        One of `ROLES`.

    Returns
    -------
    str
        The token, which is kept nowhere.

    Raises
    ------
    SoundalikeError
        The name is blank or of several lines, or the file cannot be used.
    """
    if not name.strip() or not name.isprintable():
        raise SoundalikeError("Give a name of one line, for whom the token is.")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _parse(before, path)
    token = secrets.token_urlsafe(32)
    ending = "" if not before or before.endswith("\n") else "\n"
    with replace_file(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{before}{ending}sha256:{_hash(token)} {role} {name.strip()}\n".encode())
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _parse(text: str, path: Path) -> dict[str, Identity]:
    known: dict[str, Identity] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise SoundalikeError(
                f"Line {number} of {path} is not `sha256:<hash> <role> <name>`: remove it, and "
                "add tokens with `soundalike token new NAME`."
            )
        digest, role, name = match.groups()
        known[digest] = Identity(name, role)  # type: ignore[arg-type]  # the expression says so
    return known
