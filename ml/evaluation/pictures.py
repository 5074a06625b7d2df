"""Pictures that an encoder is judged by: its categories, and where it puts tracks."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.evaluation.contest import CategoryRow
from ml.evaluation.metrics import FloatArray, IndexArray
from ml.evaluation.scores import ENCODER_COLOURS
from ml.projection import project

MOST_CATEGORIES = 25
OTHER = "other"

# Okabe and Ito's colours, told apart by the colour-blind too; grey is for what has none of its own.
_COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
_GREY = "#999999"


class TrackMap(TypedDict):
    """Tracks in the plane: a point and a genre each, and how far neighbourhoods survive."""

    points: list[list[float]]
    genres: list[str]
    trustworthiness: float


def map_tracks(
    embeddings: FloatArray, tracks: IndexArray, genres: Sequence[Sequence[str]]
) -> TrackMap:
    """Lay tracks out in two dimensions, by the mean of their clips.

    Parameters
    ----------
    embeddings : np.ndarray [shape=(clips, d)]
        One vector per clip.
    tracks : np.ndarray of int [shape=(clips,)]
        Number of each clip's track, from 0.
    genres : Sequence[Sequence[str]]
        Of each clip's track; the first one colours it.

    Returns
    -------
    TrackMap
    """
    counts = np.bincount(tracks)
    sums = np.zeros((len(counts), embeddings.shape[1]))
    np.add.at(sums, tracks, embeddings)
    firsts = [next(iter(genres[clip]), "") for clip in np.unique(tracks, return_index=True)[1]]
    projection = project(sums / counts[:, None])
    return TrackMap(
        points=[[round(float(x), 4), round(float(y), 4)] for x, y in projection.points],
        genres=firsts,
        trustworthiness=projection.trustworthiness,
    )


def render(figure: Figure) -> bytes:
    """Draw a figure as PNG, as wide as what is on it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
    return buffer.getvalue()


def plot_map(tracks: TrackMap) -> Figure:
    """Draw a map, the most frequent genres in colours of their own."""
    points = np.asarray(tracks["points"]).reshape(-1, 2)
    frequent = [genre for genre, _ in Counter(tracks["genres"]).most_common(len(_COLOURS))]
    named = np.asarray([g if g in frequent else OTHER for g in tracks["genres"]], dtype=object)
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots()
    for genre in dict.fromkeys([*frequent, OTHER]):
        chosen = points[named == genre]
        colour = _COLOURS[frequent.index(genre)] if genre in frequent else _GREY
        if len(chosen):
            axes.scatter(chosen[:, 0], chosen[:, 1], s=22, color=colour, label=genre or "(none)")
    axes.set(xticks=[], yticks=[], aspect="equal")
    trust = f"trustworthiness {tracks['trustworthiness']:.3f}: 1 if every neighbour here is one"
    axes.set_title(f"{len(points)} tracks as the candidate hears them, by first genre\n{trust}")
    axes.set_xlabel("two dimensions by t-SNE: near means alike, the axes themselves nothing")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_categories(rows: Sequence[CategoryRow]) -> Figure:
    """Draw the average precision of each genre and mood, a panel each, a bar per encoder.

    The bars have their bootstrap intervals over tracks, the categories a dashed line for chance.

    Parameters
    ----------
    rows : Sequence[CategoryRow]
        Of any number of encoders; of each annotation at most `MOST_CATEGORIES` are drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    by_annotation: dict[str, list[CategoryRow]] = {}
    for row in rows:
        by_annotation.setdefault(row["annotation"], []).append(row)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    axes = figure.subplots(1, max(len(by_annotation), 1), sharey=True, squeeze=False)[0]
    for panel, (annotation, found) in zip(axes, by_annotation.items(), strict=False):
        _draw_categories(panel, found)
        panel.set_title(annotation)
    axes[0].set_ylabel("average precision")
    named = axes[0].get_legend_handles_labels()
    figure.legend(*named, loc="outside upper right", ncols=8, frameon=False, fontsize=8)
    return figure


def _draw_categories(panel: Axes, rows: Sequence[CategoryRow]) -> None:
    names = list(dict.fromkeys(row["category"] for row in rows))[:MOST_CATEGORIES]
    place = {name: number for number, name in enumerate(names)}
    shown = [row for row in rows if row["category"] in place]
    encoders = list(dict.fromkeys(row["encoder"] for row in shown))
    width = 0.8 / len(encoders)
    for number, encoder in enumerate(encoders):
        own = [row for row in shown if row["encoder"] == encoder]
        heights = np.array([row["average_precision"] for row in own])
        ends = np.array([[row["low"] for row in own], [row["high"] for row in own]])
        panel.bar(
            [place[row["category"]] + (number + 0.5) * width - 0.4 for row in own],
            heights,
            width,
            color=ENCODER_COLOURS[number % len(ENCODER_COLOURS)],
            label=encoder,
            yerr=np.maximum([heights - ends[0], ends[1] - heights], 0),
            error_kw={"elinewidth": 0.8, "ecolor": "#222222"},
        )
    chance = {row["category"]: row["chance"] for row in shown}
    panel.hlines(
        [chance[name] for name in names],
        [place[name] - 0.4 for name in names],
        [place[name] + 0.4 for name in names],
        colors="#222222",
        linestyles="dashed",
        linewidth=1,
        label="chance",
    )
    panel.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    panel.set_ylim(0, 1.05)
    panel.spines[["top", "right"]].set_visible(False)
