"""The time of each step of `make demo`: in a fresh folder, and again with nothing changed.

The job runs as `make demo` runs it, with its real stores; a temporary folder holds all state.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks.report import at_most, print_report

FIRST_GOAL_SECONDS, AGAIN_GOAL_SECONDS = 8 * 60, 60
SAMPLES, START = "(sample catalogue)", "(start and finish)"


def main() -> None:
    """Run the demo twice; print the seconds of each step."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "CATALOG": "", "DAGSTER_HOME": ""}
        first, again = measure_demo(), measure_demo()
    rows = [
        {"step": step, "first, s": first[step], "again, s": again.get(step, 0.0)} for step in first
    ]
    totals = [sum(times.values()) for times in (first, again)]
    rows.append({"step": "total", "first, s": totals[0], "again, s": totals[1]})
    goals = [
        at_most("make demo in a fresh folder, seconds", FIRST_GOAL_SECONDS, totals[0]),
        at_most("make demo again, seconds", AGAIN_GOAL_SECONDS, totals[1]),
    ]
    print_report("demo", rows, goals)


def measure_demo() -> dict[str, float]:
    """Seconds of each step of one demo, in the order of their start."""
    from ml.environment import Environment
    from ml.samples import write_samples
    from orchestration.launch import prepare_instance, run_refresh, time_steps
    from search.database import open_database

    environment = Environment()
    prepare_instance(environment)
    started = time.monotonic()
    write_samples(Path(environment.sample_folder))
    made = time.monotonic()
    with open_database(environment.database_url, environment.root):
        outcome = run_refresh(lambda _: None)
    if not outcome.success:
        raise SystemExit("The pipeline failed: run `make demo` to see why.")
    steps = time_steps(outcome.run_id)
    rest = time.monotonic() - made - sum(steps.values())
    return {SAMPLES: made - started, **steps, START: rest}


if __name__ == "__main__":
    main()
