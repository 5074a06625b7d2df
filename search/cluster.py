"""One PostgreSQL data folder, and what the bundled PostgreSQL binaries do with it.

The server listens on a Unix socket in a folder that only this user can enter, so trusting whoever
connects through it is safe, and no port can collide.

Paths never pass through a shell: ``pg_ctl`` gets its data folder from ``PGDATA`` and its log by a
relative name, so that any path works, with spaces and quotes in it.
"""

import hashlib
import logging
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from ml.errors import DatabaseError
from search.binaries import MAJOR, as_ordinary_user, binaries
from search.machine import choose_settings, require_space

logger = logging.getLogger(__name__)

USER = "soundalike"
PORT = 5432  # only names the socket file
STALL_S = 120.0  # a start or recovery that logs nothing for so long has failed
ORPHAN_S = 60.0  # how long processes of a killed server may hold its shared memory
# Not tempfile.gettempdir(): every process must find the same socket, whatever its TMPDIR, and
# a socket's path may have 107 characters.
SOCKET_ROOT = Path("/tmp")  # noqa: S108 - the folder in it is checked for owner and mode


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data folder and its server.

    Parameters
    ----------
    folder : Path
        Absolute folder; ``data/`` and ``server.log`` in it are the server's.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """The data folder proper."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def socket_folder(self) -> Path:
        """Folder of the Unix socket: short, and the same for every process of this user."""
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return SOCKET_ROOT / f"soundalike-{os.geteuid()}-{digest}"

    @property
    def url(self) -> str:
        """Where clients connect."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{USER}@/postgres?host={host}&port={PORT}"

    def ensure_running(self) -> None:
        """Create, start or adopt the server, and return once it answers.

        Raises
        ------
        DatabaseError
            If the server cannot be started; the message holds its own last words.
        """
        require_space(self.folder)
        if not self.data.exists():
            self._create()
        self._check_version()
        while not self.answers():
            if self._running():  # recovering, shutting down, or started by a process since killed
                self._wait(lambda: self.answers() or not self._running())
            else:
                self._start()

    def stop(self) -> None:
        """Stop the server, if it runs; a failure is logged, since nobody is left to mend it."""
        command = ["pg_ctl", "stop", "-m", "fast", "-w", "-t", "300"]
        if self._running() and self._spawn(command).wait():
            logger.warning("PostgreSQL did not stop; see %s", self.log)
        with suppress(OSError):  # it is not empty, or was never made
            self.socket_folder.rmdir()

    def _create(self) -> None:
        """Run ``initdb`` beside and rename: a data folder is either whole or not there."""
        for leftover in self.folder.glob("data.partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        # Of a new name each time: the initdb of a user who was killed may still be at work.
        partial = Path(tempfile.mkdtemp(prefix="data.partial-", dir=self.folder))
        said = self._log_size()
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        access = [f"--username={USER}", "--auth-local=trust", "--auth-host=reject"]
        command = ["initdb", "--no-instructions", *locale, *access]
        if self._spawn(command, data=partial).wait():
            raise DatabaseError(f"PostgreSQL could not set up {self.data}: {self._reason(said)}")
        with (partial / "postgresql.conf").open("a") as file:
            file.write("\ninclude_if_exists 'soundalike.conf'\n")
        partial.rename(self.data)

    def _start(self) -> None:
        self._prepare_socket_folder()
        (self.data / "soundalike.conf").write_text(choose_settings())
        self._drop_stale_locks()
        options = f"-c listen_addresses= -c port={PORT} -c unix_socket_directories="
        command = ["pg_ctl", "start", "-w", "-t", "86400", "-l", self.log.name]
        command += ["-o", options + str(self.socket_folder)]
        patience = time.monotonic() + ORPHAN_S
        while True:
            said = self._log_size()
            process = self._spawn(command)
            self._wait(lambda process=process: process.poll() is not None)  # type: ignore[misc]
            if process.returncode == 0:
                return
            reason = self._reason(said)
            # Children of a server that was killed notice it a moment later than we do.
            if "shared memory block" not in reason or time.monotonic() > patience:
                raise DatabaseError(f"PostgreSQL in {self.folder} does not start: {reason}")
            time.sleep(0.2)

    def _spawn(self, command: list[str], data: Path | None = None) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment |= {"PGDATA": str(data or self.data), "LC_ALL": "C"}
        line = [*as_ordinary_user(), str(binaries() / command[0]), *command[1:]]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                line,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def answers(self) -> bool:
        """Tell whether the server accepts connections now."""
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _running(self) -> bool:
        # A server works in its data folder. A zombie works nowhere, and a process that was given
        # the number of a dead server works elsewhere.
        try:
            return Path(f"/proc/{self._pid()}/cwd").samefile(self.data)
        except OSError:
            return False

    def _drop_stale_locks(self) -> None:
        # PostgreSQL takes any process of the number in these files for a server, be it a zombie
        # or, after a reboot or in a new container, another program. Its own check of shared
        # memory still guards the data.
        if not self._running():
            for path in (self.data / "postmaster.pid", *self.socket_folder.iterdir()):
                path.unlink(missing_ok=True)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait as long as the log grows: recovery reports its progress every second."""
        size, deadline = -1, 0.0
        while not done():
            if self._log_size() != size:
                size, deadline = self._log_size(), time.monotonic() + STALL_S
            elif time.monotonic() > deadline:
                raise DatabaseError(
                    f"PostgreSQL in {self.folder} has made no progress for {STALL_S:.0f} s: "
                    f"read {self.log}, stop what uses that folder, and try again."
                )
            time.sleep(0.02)

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _reason(self, offset: int) -> str:
        """Pick the line that says why, from what was logged after `offset`."""
        with self.log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
        telling = [line for line in lines if any(w in line for w in ("FATAL", "PANIC", "error:"))]
        reason = (telling or lines or ["no reason given"])[-1].strip()
        return f"{reason} (more in {self.log})"

    def _check_version(self) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise DatabaseError(
                f"{self.data} is not a PostgreSQL data folder that this user can read: move it "
                "away, or set DATABASE_URL to a server of your own."
            ) from error
        if found != str(MAJOR):
            raise DatabaseError(
                f"{self.data} was written by PostgreSQL {found} and this is {MAJOR}: either dump "
                f"it with PostgreSQL {found} (pg_dumpall), move it away and load the dump, or "
                "move it away and run the pipeline again, which loads everything anew."
            )

    def _prepare_socket_folder(self) -> None:
        folder = self.socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if not ours or stat.S_IMODE(found.st_mode) & 0o077:
            raise DatabaseError(
                f"{folder} is open to other users or belongs to one: remove it and try again."
            )
