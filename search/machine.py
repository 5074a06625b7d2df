"""What the machine has for the embedded server: disk, and memory."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ml.errors import DatabaseError

NEEDED_BYTES = 512 * 2**20  # a fresh data folder, its write-ahead log, and room to stop cleanly
# Of a container, as it sees it itself: by the second version of control groups, and by the first.
MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def require_space(folder: Path) -> None:
    """Refuse a disk that is nearly full.

    Parameters
    ----------
    folder : Path
        Of the server.

    Raises
    ------
    DatabaseError
        If less than `NEEDED_BYTES` are free there.
    """
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise DatabaseError(
            f"Only {free // 2**20} MB are free for the database in {folder}: free "
            f"{NEEDED_BYTES // 2**20} MB, or set DATA_DIR to a larger disk."
        )


def usable_memory(limits: Iterable[Path] = MEMORY_LIMITS) -> int:
    """Tell how much memory there is: the machine's, or the container's if it has less.

    Parameters
    ----------
    limits : iterable of Path
        Files that may hold a limit in bytes; one that is missing or says ``max`` is none.

    Returns
    -------
    int
        Bytes.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):
            memory = min(memory, int(path.read_text()))
    return memory


def choose_settings() -> str:
    """Choose settings by the memory that there is; ``ALTER SYSTEM`` overrides them.

    Returns
    -------
    str
        Lines of a file that ``postgresql.conf`` includes.
    """
    memory = usable_memory() // 2**20
    # A parallel index build shares its graph through /dev/shm, which is small in containers.
    shared = shutil.disk_usage("/dev/shm").free // 2**20 if Path("/dev/shm").exists() else 0  # noqa: S108
    settings = {
        # Room for the graph of a large catalogue: a search reads pages all over it, and each that
        # is not here is copied from the system's cache. What is not used takes no memory.
        "shared_buffers": f"{max(32, min(8192, memory // 8))}MB",
        "maintenance_work_mem": f"{max(64, min(512, memory // 8))}MB",
        "effective_cache_size": f"{max(64, memory // 2)}MB",
        "dynamic_shared_memory_type": "posix" if shared > 1024 else "mmap",
        "work_mem": "16MB",
        "max_wal_size": "2GB",
        "wal_level": "minimal",  # nobody replicates this server; builds write less log
        "max_wal_senders": "0",
        "random_page_cost": "1.1",
        "jit": "off",  # compiling costs more than a neighbour query
        "log_startup_progress_interval": "1s",  # what `Cluster` waits by
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())
