"""Damaged files of every format go through the real decode path, and each has its answer."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_mutated_files_give_clips_or_a_reason_and_leave_nothing_behind() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzzing", "--files", "240"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert all(goal["met"] for goal in answer["goals"]), answer["goals"]
    outcomes = {row["outcome"] for row in answer["rows"]}
    assert {"clips", "damaged", "truncated", "undecodable"} <= outcomes  # it gets past the header
