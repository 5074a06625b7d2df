"""Metadata that people judge a run by: tables and pictures for the Dagster UI."""

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

if TYPE_CHECKING:  # a second to import, and only the steps that draw should pay
    from matplotlib.figure import Figure

Materialized = dg.MaterializeResult[None]
"""What assets return: metadata alone, since results travel through the workspace."""

MAX_ROWS = 50


def show_table(frame: pd.DataFrame, columns: Iterable[str] | None = None) -> dg.MetadataValue:
    """Show the first rows of a table."""
    shown = frame[list(columns)] if columns else frame
    return dg.MetadataValue.md(_markdown(shown.head(MAX_ROWS)))


def show_figure(figure: "Figure") -> dg.MetadataValue:
    """Show a picture inline."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{encoded})")


def _markdown(frame: pd.DataFrame) -> str:
    header = [str(column) for column in frame.columns]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
