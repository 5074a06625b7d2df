"""The map has a point for each track, the pictures a mark for each category and encoder."""

import numpy as np
import pytest
from matplotlib.container import BarContainer

from ml.evaluation.contest import CategoryRow
from ml.evaluation.pictures import MOST_CATEGORIES, map_tracks, plot_categories, plot_map


def test_map_puts_the_tracks_of_a_genre_together() -> None:
    generator = np.random.default_rng(0)
    tracks = np.repeat(np.arange(40), 3)
    centres = np.eye(2, 16)[tracks % 2]
    vectors = centres + 0.1 * generator.normal(size=(120, 16))
    genres = [("jazz", "x") if track % 2 else () for track in tracks]
    found = map_tracks(vectors, tracks, genres)
    assert found["genres"] == ["", "jazz"] * 20
    points = np.asarray(found["points"])
    assert points.shape == (40, 2)
    even, odd = points[::2], points[1::2]
    between = np.linalg.norm(even.mean(0) - odd.mean(0))
    assert between > 2 * np.linalg.norm(even - even.mean(0), axis=1).mean()
    assert found["trustworthiness"] > 0.6
    (axes,) = plot_map(found).axes
    assert set(axes.get_legend_handles_labels()[1]) == {"(none)", "jazz"}


@pytest.mark.parametrize("categories", [3, 60])
def test_categories_are_drawn_for_each_encoder(categories: int) -> None:
    rows = [
        CategoryRow(
            encoder=encoder,
            annotation=annotation,
            category=f"{annotation} {number}",
            average_precision=0.5,
            chance=0.2,
            low=0.4,
            high=0.7,
        )
        for annotation in ("genre", "mood")
        for encoder in ("random", "convnet")
        for number in range(categories)
    ]
    panels = plot_categories(rows).axes
    assert [panel.get_title() for panel in panels] == ["genre", "mood"]
    for panel in panels:
        assert len(panel.get_xticklabels()) == min(categories, MOST_CATEGORIES)
        bars = [found for found in panel.containers if isinstance(found, BarContainer)]
        assert [len(bar) for bar in bars] == [min(categories, MOST_CATEGORIES)] * 2
        for bar in bars:
            assert bar.errorbar
            (_, _, (lines,)) = bar.errorbar
            np.testing.assert_allclose(lines.get_segments()[0][:, 1], [0.4, 0.7])


def test_one_annotation_alone_is_drawn_alone() -> None:
    row = CategoryRow(
        encoder="a",
        annotation="genre",
        category="x",
        average_precision=1.0,
        chance=0.5,
        low=float("nan"),  # as without resamples
        high=float("nan"),
    )
    assert [panel.get_title() for panel in plot_categories([row]).axes] == ["genre"]
