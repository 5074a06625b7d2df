"""A process that has imported everything, and refreshes on request in a fork of its own each time.

A request is a line of JSON; it answers with the fork's process id and, once that has ended, with
how. The run that Dagster starts for a refresh would import everything anew.
"""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import dagster as dg

import orchestration.preload  # noqa: F401
from orchestration.definitions import defs
from orchestration.partitions import EVERY_BUCKET

LOG = 2  # stderr, also of what is printed
JOB = defs.resolve_job_def("refresh")  # once, before the forks


def refresh(assets: Sequence[str], config: dict[str, Any]) -> None:
    """Run a part of the job on the home that the environment names."""
    with dg.DagsterInstance.get() as instance:
        JOB.execute_in_process(
            run_config=config,
            instance=instance,
            tags=EVERY_BUCKET,
            asset_selection=[dg.AssetKey(name) for name in assets],
        )


def fork(assets: Sequence[str], config: dict[str, Any]) -> int:
    """Refresh in a fork; its process id."""
    if pid := os.fork():
        return pid
    os.dup2(LOG, sys.stdout.fileno())
    try:
        refresh(assets, config)
    except BaseException:  # noqa: BLE001 (whatever it is, it must not go on as the parent)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def serve() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        pid = fork(**json.loads(line))
        answer(pid)
        answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def answer(number: int) -> None:
    """Write a line of one number."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
