"""How glibc's allocator treats the memory of batches.

Left alone it gives each large block back to the system as soon as it is free, and the next batch
asks for it again, page by page: up to half of a batch's time on a CPU.
"""

import ctypes
import os

KEPT = 2**31 - 1
"""Bytes of a block, and of free memory, up to which it is kept: the most that `mallopt` takes."""

OPTIONS = {
    "MALLOC_TRIM_THRESHOLD_": (-1, KEPT),
    "MALLOC_TOP_PAD_": (-2, 2**28),
    "MALLOC_MMAP_THRESHOLD_": (-3, KEPT),
}
"""By the variable that would set each: its number in <malloc.h>, and its value in bytes."""


def keep_memory() -> None:
    """Let this process, and those that it forks from now on, keep the memory that they free.

    What the environment sets stays as it is; under another C library nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for variable, (option, value) in OPTIONS.items():
        if variable not in os.environ:
            mallopt(option, value)
