"""Where the steps of a run are done: one after another on this machine, or as jobs of a cluster."""

import dagster as dg

from ml.errors import SoundalikeError
from ml.workers import on_cluster

# One step at a time: each uses all cores. Steps are forked from a process that has the heavy
# libraries already, since importing them takes longer than many a step.
_HERE = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 1,
        "start_method": {
            "forkserver": {"preload_modules": ["__main__", "orchestration.preload"]},
        },
    }
)


def choose_executor() -> dg.ExecutorDefinition:
    """Choose what runs steps, as the environment's `STEP_EXECUTOR` says: `local` or `ray`.

    By `ray` each step is a job of the Ray cluster whose dashboard `RAY_API_SERVER_ADDRESS` names.
    A job has the environment in which its machine's node was started, so that no credential is
    sent to the cluster or shown on its dashboard.

    Raises
    ------
    SoundalikeError
        It says something else, or dagster-ray is not installed.
    """
    if not on_cluster("STEP_EXECUTOR", "local"):
        return _HERE
    try:
        from dagster_ray import ray_executor  # an extra, and slow to import
    except ImportError as error:
        raise SoundalikeError(
            "STEP_EXECUTOR is ray, which is not installed: install soundalike[cluster]."
        ) from error
    return ray_executor.configured({"ray": {"num_cpus": 1}})
