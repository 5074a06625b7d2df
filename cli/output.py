"""What the commands print: text for people, JSON for programs."""

import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ml.evaluation.raters import AgreementRow
    from ml.evaluation.scores import ScoreRow
    from search.retrieval import Hit
    from search.similarity import Neighbour

FILE_WIDTH = 130

console = Console(
    width=None if sys.stdout.isatty() else FILE_WIDTH,
    soft_wrap=True,
    highlight=False,
    emoji=False,
)


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
    """Print Table 1: a row per encoder, chance first, a column per annotation and protocol."""
    columns = list(dict.fromkeys((row["protocol"], row["annotation"]) for row in rows))
    cells = {(row["encoder"], row["protocol"], row["annotation"]): row for row in rows}
    table = Table("encoder", *(_name(*column) for column in columns), title=escape(title))
    table.title_justify = "left"
    chance = {(row["protocol"], row["annotation"]): row["chance"] for row in rows}
    table.add_row("(chance)", *(f"{chance[column]:.4f}" for column in columns), style="dim")
    for encoder in dict.fromkeys(row["encoder"] for row in rows):
        found = [cells.get((encoder, *column)) for column in columns]
        table.add_row(escape(encoder), *("" if row is None else _cell(row) for row in found))
    console.print(table)


def print_agreement(rows: Sequence["AgreementRow"]) -> None:
    """Print how often encoders agree with raters, chance first."""
    of, left_out = rows[0]["triplets"], rows[0]["left_out"]
    title = f"Agreement with {rows[0]['raters']} raters on {of} triplets"
    table = Table("encoder", "agreement", "95 %", title=title, title_justify="left")
    table.add_row("(chance)", f"{rows[0]['chance']:.3f}", "", style="dim")
    for row in rows:
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        table.add_row(escape(row["encoder"]), f"{row['agreement']:.3f}", interval)
    console.print(table)
    if left_out:
        console.print(f"{left_out} more are about segments that this catalogue does not have.")


def print_neighbours(heading: str, neighbours: Sequence["Neighbour | Hit"]) -> None:
    """Print the tracks nearest to one."""
    columns = ("rank", "track", "title", "artist", "genres", "distance", "at")
    table = Table(*columns, title=escape(heading), title_justify="left")
    for found in neighbours:
        table.add_row(
            str(found.rank),
            escape(found.track_id),
            escape(found.title),
            escape(found.artist),
            escape(", ".join(found.genres)),
            f"{found.distance:.3f}",
            f"{found.start_ms / 1000:.0f}-{found.end_ms / 1000:.0f} s",
        )
    console.print(table)


def neighbours_as_json(neighbours: Sequence["Neighbour"]) -> list[dict[str, Any]]:
    """Rows of neighbours for a program."""
    return [asdict(found) for found in neighbours]


def _name(protocol: str, annotation: str) -> str:
    """Name a column; the paper's protocol needs no mention."""
    return annotation if protocol == "paper" else f"{annotation} ({protocol})"


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
