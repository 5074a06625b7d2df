"""The form of every benchmark's answer: a table for people, then one JSON line for programs."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FILE_COLUMNS = 160  # of what is not printed on a terminal


@dataclass(frozen=True)
class Goal:
    """What was aimed at and what was measured."""

    goal: str
    target: float
    measured: float
    met: bool


def at_most(goal: str, target: float, measured: float) -> Goal:
    """Judge a goal that is met from below."""
    return Goal(goal, target, round(measured, 3), measured <= target)


def at_least(goal: str, target: float, measured: float) -> Goal:
    """Judge a goal that is met from above."""
    return Goal(goal, target, round(measured, 4), measured >= target)


def print_report(benchmark: str, rows: Sequence[Mapping[str, Any]], goals: Sequence[Goal]) -> None:
    """Print the rows, each goal, and as the last line everything as one JSON object."""
    width = None if sys.stdout.isatty() else FILE_COLUMNS
    console = Console(soft_wrap=True, highlight=False, width=width)
    columns = list(rows[0])
    table = Table(*columns, title=f"{benchmark}, on {_machine()}", title_justify="left")
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)
    for goal in goals:
        mark = "met" if goal.met else "MISSED"
        console.print(f"{mark}: {goal.goal}: {goal.measured:g}, aimed at {goal.target:g}")
    answer = {
        "benchmark": benchmark,
        "machine": _machine(),
        "rows": list(rows),
        "goals": [asdict(goal) for goal in goals],
    }
    print(json.dumps(answer))


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} x {names[0] if names else platform.processor()}"


def _cell(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)
