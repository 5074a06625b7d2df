"""Scores of encoders, and Table 1 made of them: rows for JSON, a DataFrame, Markdown, a figure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.errors import EvaluationError
from ml.evaluation.labels import ANNOTATIONS, PROTOCOLS
from ml.evaluation.resampling import interval

CHANCE = "chance"  # the row of Table 1 that no encoder made
INTERVAL = "95 %"  # the row below an encoder's

# Okabe and Ito's colours, told apart by the colour-blind too.
ENCODER_COLOURS = ("#999999", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")


@dataclass(frozen=True)
class CategoryScore:
    """Average precision of one category.

    Parameters
    ----------
    name : str
        The genre, mood or track.
    average_precision : float
        Mean over the draws (or over the category's queries).
    chance : float
        What a random ranking would get on average.
    low, high : float
        Bootstrap interval over tracks; NaN where there is none: without resamples, and for a
        single track.
    """

    name: str
    average_precision: float
    chance: float
    low: float = math.nan  # the one object, so that scores equal themselves
    high: float = math.nan


@dataclass(frozen=True)
class Score:
    """Mean average precision of one encoder under one protocol for one annotation.

    Parameters
    ----------
    protocol, annotation : str
        What was scored.
    map : float
        Mean average precision, 0 to 1.
    low, high : float
        Bootstrap interval over tracks; NaN without resamples.
    chance : float
        Expected ``map`` of a random ranking.
    n : int
        Number of average precisions in the mean: categories, or queries for ``full``.
    spread : float
        Standard deviation over the seeded draws (0 for ``full``, which draws nothing).
    categories : tuple of CategoryScore
        The same, category by category.
    details : Mapping[str, float]
        Further figures; ``full`` gives precision at k, its chance, and hubness.
    replicates : np.ndarray [shape=(resamples,)]
        ``map`` in each bootstrap resample; paired between encoders scored with the same settings.
    """

    protocol: str
    annotation: str
    map: float
    low: float
    high: float
    chance: float
    n: int
    spread: float = 0.0
    categories: tuple[CategoryScore, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)
    replicates: NDArray[np.float64] = field(
        default_factory=lambda: np.empty(0), repr=False, compare=False
    )


class ScoreRow(TypedDict):
    """A score as it is written to JSON, MLflow and the gate; `Score` explains the fields."""

    encoder: str
    protocol: str
    annotation: str
    map: float
    low: float
    high: float
    chance: float
    n: int
    spread: NotRequired[float]
    details: NotRequired[dict[str, float]]


def difference(score: Score, other: Score, confidence: float = 0.95) -> tuple[float, float, float]:
    """Difference of two encoders by the paired bootstrap: both saw the same resampled tracks.

    Parameters
    ----------
    score, other : Score
        Of the same clips under the same settings, protocol and annotation.
    confidence : float
        Of the interval.

    Returns
    -------
    tuple of float
        ``score.map - other.map`` and its interval; significant where that leaves out 0.

    Raises
    ------
    EvaluationError
        The two are not of the same protocol, annotation, clips and resamples.
    """
    for name in ("protocol", "annotation", "n", "chance"):
        if getattr(score, name) != getattr(other, name):
            raise EvaluationError(
                f"Compare scores of the same clips and settings: their {name} differs."
            )
    if score.replicates.shape != other.replicates.shape:
        raise EvaluationError("Compare scores with the same number of resamples.")
    gain = score.map - other.map
    low, high = interval(score.replicates - other.replicates, gain, confidence)
    return gain, low, high


def to_rows(scores_by_encoder: Mapping[str, Sequence[Score]]) -> list[ScoreRow]:
    """Flatten scores into the rows of the JSON report.

    Parameters
    ----------
    scores_by_encoder : Mapping[str, Sequence[Score]]
        Scores by the encoder's name.

    Returns
    -------
    list of ScoreRow
        One row per encoder, protocol and annotation, in the order given.
    """
    return [
        ScoreRow(
            encoder=encoder,
            protocol=score.protocol,
            annotation=score.annotation,
            map=score.map,
            low=score.low,
            high=score.high,
            chance=score.chance,
            n=score.n,
            spread=score.spread,
            details=dict(score.details),
        )
        for encoder, scores in scores_by_encoder.items()
        for score in scores
    ]


def table(rows: Sequence[ScoreRow], protocol: str = "paper") -> pd.DataFrame:
    """Shape rows as the paper's Table 1.

    Parameters
    ----------
    rows : Sequence[ScoreRow]
        Rows of any number of encoders and protocols.
    protocol : str
        The one to show.

    Returns
    -------
    pd.DataFrame
        A row for chance, then one per encoder; columns genre, mood, track where scored. NaN where
        an encoder has no score.

    Raises
    ------
    EvaluationError
        No row is of that protocol.
    """
    chosen = [row for row in rows if row["protocol"] == protocol]
    if not chosen:
        raise EvaluationError(f"There is no score of the protocol {protocol!r}: evaluate it first.")
    annotations = [a for a in ANNOTATIONS if any(row["annotation"] == a for row in chosen)]
    encoders = list(dict.fromkeys(row["encoder"] for row in chosen))
    shaped = pd.DataFrame(index=[CHANCE, *encoders], columns=annotations, dtype=float)
    for row in chosen:
        shaped.loc[row["encoder"], row["annotation"]] = row["map"]
        shaped.loc[CHANCE, row["annotation"]] = row["chance"]
    return shaped.rename_axis(index="encoder", columns="annotation")


def table_markdown(rows: Sequence[ScoreRow], protocol: str = PROTOCOLS[0]) -> str:
    """Write Table 1 in Markdown, with chance and intervals.

    An encoder's intervals are a row of their own: beside the scores, pages cut them off.

    Parameters
    ----------
    rows : Sequence[ScoreRow]
        Rows of any number of encoders and protocols.
    protocol : str
        Whose scores are shown.

    Returns
    -------
    str
        A Markdown table, for Dagster's metadata and MLflow's notes.

    Raises
    ------
    EvaluationError
        There are no rows.
    """
    shaped = table(rows, protocol)
    lines = [[protocol, *shaped.columns], ["---"] * (1 + len(shaped.columns))]
    for encoder in shaped.index:
        own = {
            r["annotation"]: r for r in rows if (r["protocol"], r["encoder"]) == (protocol, encoder)
        }
        lines.append([encoder, *map(_cell, shaped.loc[encoder])])
        if own:
            ranges = {a: "{low:.2f}-{high:.2f}".format(**row) for a, row in own.items()}
            lines.append([INTERVAL, *(ranges.get(a, "") for a in shaped.columns)])
    return _join_cells(lines)


def details_markdown(rows: Sequence[ScoreRow], beginnings: tuple[str, ...] = ("",)) -> str:
    """Write what scores have beside their mAP: precision at k and hubness.

    Parameters
    ----------
    rows : Sequence[ScoreRow]
        Rows of any number of encoders and protocols.
    beginnings : tuple of str
        Of the names of the figures that are wanted.

    Returns
    -------
    str
        A Markdown table with a line for each encoder and annotation that has such figures.
    """
    detailed = [row for row in rows if row.get("details")]
    every = dict.fromkeys(name for row in detailed for name in row["details"])
    names = [name for name in every if name.startswith(beginnings)]
    lines = [["encoder", "annotation", *(name.replace("_", " ") for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for row in detailed:
        figures = [f"{row['details'][n]:.3f}" if n in row["details"] else "" for n in names]
        lines.append([row["encoder"], row["annotation"], *figures])
    return _join_cells(lines)


def _join_cells(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(score: float) -> str:
    return "" if math.isnan(score) else f"{score:.4f}"


def plot_table(rows: Sequence[ScoreRow]) -> Figure:
    """Draw Table 1: a panel per protocol, bars by encoder with intervals, dashes for chance.

    Parameters
    ----------
    rows : Sequence[ScoreRow]
        Rows of any number of encoders and protocols.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no global state; save it with ``figure.savefig``.

    Raises
    ------
    EvaluationError
        There are no rows.
    """
    protocols = _protocols(rows)
    encoders = list(dict.fromkeys(row["encoder"] for row in rows))
    figure = Figure(figsize=(2.0 + 4.2 * len(protocols), 4.2), layout="constrained")
    panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for panel, protocol in zip(panels, protocols, strict=True):
        _draw_panel(panel, [row for row in rows if row["protocol"] == protocol], encoders)
        panel.set_title(protocol)
    panels[0].set_ylabel("mean average precision")
    handles, names = panels[0].get_legend_handles_labels()
    columns = 3 * len(protocols)
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _draw_panel(panel: Axes, rows: Sequence[ScoreRow], encoders: Sequence[str]) -> None:
    annotations = [a for a in ANNOTATIONS if any(row["annotation"] == a for row in rows)]
    by_cell = {(row["encoder"], row["annotation"]): row for row in rows}
    width = 0.8 / len(encoders)
    for (number, encoder), (place, annotation) in product(
        enumerate(encoders), enumerate(annotations)
    ):
        row = by_cell.get((encoder, annotation))
        if row is None:
            continue
        x = place + (number + 0.5) * width - 0.4
        colour = ENCODER_COLOURS[number % len(ENCODER_COLOURS)]
        panel.bar(x, row["map"], 0.9 * width, color=colour, label=encoder if place == 0 else None)
        panel.vlines(x, row["low"], row["high"], color="#333333", linewidth=1.2)
        top = np.nanmax([row["map"], row["high"]])
        panel.text(x, top + 0.012, f"{row['map']:.2f}", ha="center", fontsize=8)
    for place, annotation in enumerate(annotations):
        level = next(row["chance"] for row in rows if row["annotation"] == annotation)
        label = CHANCE if place == 0 else ""
        ends = (place - 0.45, place + 0.45)
        panel.hlines(level, *ends, colors="#222222", linestyles="dashed", linewidth=1, label=label)
    panel.set_xticks(range(len(annotations)), annotations)
    panel.set_ylim(0, 1.05)
    panel.spines[["top", "right"]].set_visible(False)


def _protocols(rows: Sequence[ScoreRow]) -> list[str]:
    protocols = [p for p in PROTOCOLS if any(row["protocol"] == p for row in rows)]
    if not protocols:
        raise EvaluationError("There are no scores to show: evaluate an encoder first.")
    return protocols
