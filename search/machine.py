"""What the machine has for the embedded server: disk, and memory."""

import os
import shutil
from pathlib import Path

from ml.errors import DatabaseError

NEEDED_BYTES = 512 * 2**20  # a fresh data folder, its write-ahead log, and room to stop cleanly


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


def choose_settings() -> str:
    """Choose settings by the memory that there is; ``ALTER SYSTEM`` overrides them.

    Returns
    -------
    str
        Lines of a file that ``postgresql.conf`` includes.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    # A parallel index build shares its graph through /dev/shm, which is small in containers.
    shared = shutil.disk_usage("/dev/shm").free // 2**20 if Path("/dev/shm").exists() else 0  # noqa: S108
    settings = {
        "shared_buffers": f"{max(32, min(512, memory // 8))}MB",
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
