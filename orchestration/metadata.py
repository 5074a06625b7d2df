"""Metadata that people judge a run by: tables and pictures for the Dagster UI."""

import base64
import math
from collections.abc import Iterable

import dagster as dg
import pandas as pd

Materialized = dg.MaterializeResult[None]
"""What assets return: metadata alone, since results travel through the workspace."""

MAX_ROWS = 50


def show_table(frame: pd.DataFrame, columns: Iterable[str] | None = None) -> dg.MetadataValue:
    """Show the first rows of a table."""
    shown = frame[list(columns)] if columns else frame
    return dg.MetadataValue.md(_markdown(shown.head(MAX_ROWS)))


def show_picture(png: bytes) -> dg.MetadataValue:
    """Show a picture inline."""
    encoded = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{encoded})")


def show_link(text: str, address: str) -> dg.MetadataValue:
    """Show a link by its text; an address is longer than the page is wide."""
    return dg.MetadataValue.md(f"[{text}]({address})")


def _markdown(frame: pd.DataFrame) -> str:
    header = [str(column) for column in frame.columns]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        text = _number(value)
    else:
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    """Write a number as people read it: none that is not one, and no zero for what is small."""
    if math.isnan(value):
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
