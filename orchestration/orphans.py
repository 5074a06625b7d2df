"""No step outlives its run: when the run's process is killed, Linux ends its steps too.

Steps are forked from a server that the run's process starts. Without this, a step whose run was
killed would compute on for as long as it takes, beside the next run.
"""

import ctypes
import os
import signal
import sys

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, prctl(2)


def end_with_parent(number: signal.Signals) -> None:
    """Ask Linux to signal this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)


def bind_steps() -> None:
    """Bind the server that forks steps to the run, and the steps to the server.

    Does nothing in any other process. The server gets a signal that cannot be handled; a step one
    that it may answer by putting things in order.
    """
    if sys.platform != "linux" or "multiprocessing.forkserver" not in " ".join(sys.orig_argv):
        return
    server = os.getpid()

    def bind_step() -> None:
        if os.getppid() == server:  # what a step forks in turn is the step's own affair
            end_with_parent(signal.SIGTERM)

    end_with_parent(signal.SIGKILL)
    os.register_at_fork(after_in_child=bind_step)
