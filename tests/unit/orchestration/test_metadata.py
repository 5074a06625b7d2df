"""Tables and pictures for the Dagster UI."""

import base64

import pandas as pd
from matplotlib.figure import Figure

from ml.evaluation.pictures import render
from orchestration.columns import OTHER, describe_columns
from orchestration.metadata import MAX_ROWS, show_picture, show_table


def test_table_is_markdown() -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "map": [0.12345, 1.0], "n": [1, 2]})
    assert str(show_table(frame).value).splitlines() == [
        "| name | map | n |",
        "| --- | --- | --- |",
        "| a | 0.123 | 1 |",
        "| b | 1.000 | 2 |",
    ]


def test_table_cells_cannot_break_out_of_their_row() -> None:
    shown = str(show_table(pd.DataFrame({"path": ["a|b\nc"]})).value)
    assert shown.splitlines()[-1] == "| a\\|b c |"


def test_table_shows_chosen_columns_and_not_too_many_rows() -> None:
    frame = pd.DataFrame({"a": range(1000), "b": 0})
    lines = str(show_table(frame, ["a"]).value).splitlines()
    assert lines[0] == "| a |"
    assert len(lines) == 2 + MAX_ROWS


def test_picture_is_a_png_inline() -> None:
    figure = Figure()
    figure.subplots().plot([0, 1])
    shown = str(show_picture(render(figure)).value)
    prefix = "![figure](data:image/png;base64,"
    assert shown.startswith(prefix)
    content = base64.b64decode(shown.removeprefix(prefix).removesuffix(")"))
    assert content.startswith(b"\x89PNG")


def test_columns_say_what_they_mean() -> None:
    schema = describe_columns(pd.DataFrame({"bucket": [1], "label_of_ours": ["a"]}))
    ours, other = schema.columns
    assert (ours.name, ours.type) == ("bucket", "int64")
    assert "partition" in str(ours.description)
    assert other.description == OTHER
