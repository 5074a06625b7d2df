"""What the commands print: text for people, JSON for programs."""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

if TYPE_CHECKING:
    from ml.scores import ScoreRow
    from search.index import Neighbour

console = Console(soft_wrap=True, highlight=False)

ANNOTATION_COLUMNS = ("genre", "mood", "track")


def show_progress() -> None:
    """Print what the rooms below log about long work."""
    handler = RichHandler(console=console, show_level=False, show_path=False, show_time=False)
    for room in ("ml", "search"):
        logger = logging.getLogger(room)
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]


def to_json(answer: Any) -> str:  # noqa: ANN401 (anything that JSON holds)
    """Write an answer for a program; what is not a number becomes null."""
    return json.dumps(_finite(answer), indent=2)


def print_json(answer: Any) -> None:  # noqa: ANN401
    """Print an answer for a program."""
    console.print(to_json(answer), markup=False)


def print_scores(title: str, rows: Sequence["ScoreRow"]) -> None:
    """Print Table 1: a table for each protocol, chance in the first row."""
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        shown = [row for row in rows if row["protocol"] == protocol]
        names = [n for n in ANNOTATION_COLUMNS if any(row["annotation"] == n for row in shown)]
        table = Table(
            "encoder", *names, title=f"{title}, protocol {protocol}", title_justify="left"
        )
        chance = {row["annotation"]: row["chance"] for row in shown}
        table.add_row("(chance)", *(f"{chance[name]:.4f}" for name in names), style="dim")
        for encoder in dict.fromkeys(row["encoder"] for row in shown):
            cells = {row["annotation"]: _cell(row) for row in shown if row["encoder"] == encoder}
            table.add_row(encoder, *(cells.get(name, "") for name in names))
        console.print(table)


def print_neighbours(heading: str, neighbours: Sequence["Neighbour"]) -> None:
    """Print the tracks nearest to one."""
    table = Table("", "track", "title", "artist", "genres", "distance", "at", title=heading)
    table.title_justify = "left"
    for found in neighbours:
        table.add_row(
            str(found.rank),
            found.track_id,
            found.title,
            found.artist,
            ", ".join(found.genres),
            f"{found.distance:.3f}",
            f"{found.start_ms / 1000:.0f}-{found.end_ms / 1000:.0f} s",
        )
    console.print(table)


def neighbours_as_json(neighbours: Sequence["Neighbour"]) -> list[dict[str, Any]]:
    """Rows of neighbours for a program."""
    return [asdict(found) for found in neighbours]


def _cell(row: "ScoreRow") -> str:
    if math.isnan(row["low"]):
        return f"{row['map']:.4f}"
    return f"{row['map']:.4f}  [{row['low']:.2f}, {row['high']:.2f}]".replace("[", "\\[")


def _finite(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
