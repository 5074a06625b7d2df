"""A training keeps the memory of its minibatches, however it was started."""

import ctypes
import os
import subprocess
import sys
from typing import NoReturn

import pytest

from ml.allocator import OPTIONS
from ml.collection import Collection
from ml.training.fitting import Job, fit
from ml.training.hardware import Hardware
from ml.training.seats import Seat
from ml.training.settings import TrainingSettings

MEASURE = """
import ctypes, sys
from ml.allocator import keep_memory

class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_int) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo
mallinfo.restype = Info
if sys.argv[1:] == ["keep"]:
    keep_memory()
block = bytearray(64 * 2**20)
mapped = mallinfo().hblkhd
del block
print(mapped >= 64 * 2**20, mallinfo().arena >= 64 * 2**20)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
@pytest.mark.parametrize(
    ("arguments", "environment", "found"),
    [
        ([], {}, "True False"),  # a block of its own from the system, and given back
        (["keep"], {}, "False True"),
        (["keep"], {"MALLOC_MMAP_THRESHOLD_": "1048576"}, "True False"),
    ],
)
def test_freed_blocks_are_kept_unless_the_environment_says_otherwise(
    arguments: list[str], environment: dict[str, str], found: str
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in OPTIONS}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        env=inherited | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.split() == found.split()


class ReachedError(Exception):
    """Ends a training where it keeps its memory."""


def test_every_process_of_a_training_keeps_its_memory(
    collection: Collection, tiny_training: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reach() -> NoReturn:
        raise ReachedError

    monkeypatch.setattr("ml.training.fitting.keep_memory", reach)
    job = Job(collection, collection, tiny_training, "float32", {}, None, "", resumes=False)
    for rank in range(2):  # before it waits for the others
        with pytest.raises(ReachedError):
            fit(job, Seat(Hardware("cpu", devices=2), rank))
