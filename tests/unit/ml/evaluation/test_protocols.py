"""Protocols against naive loops over listed pairs, and what must not change a score."""

import dataclasses
import itertools
import json
import logging
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from ml.errors import EvaluationError
from ml.evaluation.metrics import expected_average_precision
from ml.evaluation.protocols import (
    PROTOCOLS,
    EvaluationSettings,
    LabelledClips,
    Score,
    details_markdown,
    evaluate,
    plot_table,
    table,
    table_markdown,
    to_rows,
)
from ml.evaluation.scores import difference

Vectors = NDArray[np.float32]
SMALL = EvaluationSettings(resamples=20, workers=1)
GENRES = ("folk", "jazz", "metal")


def catalogue(tracks: int = 12, clips: int = 3) -> LabelledClips:
    """Three genres in turn, two artists in each, moods on two tracks of three."""
    track = np.repeat(np.arange(tracks), clips)
    moods = [("calm",), ("calm", "sad"), (), ("sad",), (), ("joyful",), ("joyful", "calm")]
    return LabelledClips(
        [f"track {t:03}" for t in track],
        [(GENRES[t % 3],) for t in track],
        [moods[t % 7] for t in track],
        [f"artist {t % 6}" for t in track],
    )


def embed(labels: LabelledClips, seed: int = 0, signal: float = 1.0) -> Vectors:
    """Draw vectors that lean towards their genre and their track."""
    generator = np.random.default_rng(seed)
    centres = dict(zip(GENRES, generator.normal(size=(3, 128)), strict=True))
    tracks = {track: generator.normal(size=128) for track in sorted({*labels.track_ids})}
    pulls = [
        centres[genres[0]] + tracks[track]
        for genres, track in zip(labels.genres, labels.track_ids, strict=True)
    ]
    vectors = signal * np.array(pulls) + 2 * generator.normal(size=(len(labels), 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def by_name(scores: list[Score]) -> dict[tuple[str, str], Score]:
    return {(score.protocol, score.annotation): score for score in scores}


def values_of(labels: LabelledClips, annotation: str) -> list[tuple[str, ...]]:
    tracks = [(track,) for track in labels.track_ids]
    return list({"genre": labels.genres, "mood": labels.moods, "track": tracks}[annotation])


def kept(protocol: str, labels: LabelledClips, i: int, j: int) -> bool:
    if protocol == "paper":
        return True
    same = labels.track_ids[i] == labels.track_ids[j]
    return not (same or (protocol == "artist" and labels.artists[i] == labels.artists[j]))


def naive_pairs(
    vectors: Vectors, labels: LabelledClips, protocol: str, annotation: str
) -> tuple[list[float], list[float]]:
    """List every pair of every category; needs categories too small to be drawn from."""
    values, scores, chances = values_of(labels, annotation), [], []
    for category in sorted({*itertools.chain(*values)}):
        inside = [i for i, v in enumerate(values) if category in v]
        outside = [i for i, v in enumerate(values) if v and category not in v]
        pairs = [(i, j, True) for i, j in itertools.combinations(inside, 2)]
        pairs += [(i, j, False) for i in inside for j in outside]
        pairs = [(i, j, hit) for i, j, hit in pairs if kept(protocol, labels, i, j)]
        relevant = [hit for _, _, hit in pairs]
        distances = [np.linalg.norm(vectors[i].astype(float) - vectors[j]) for i, j, _ in pairs]
        scores.append(
            float(average_precision_score(relevant, -np.array(distances, dtype=np.float32)))
        )
        chances.append(float(expected_average_precision(sum(relevant), len(relevant))))
    return scores, chances


@pytest.mark.parametrize("protocol", ["paper", "xt", "artist"])
@pytest.mark.parametrize("annotation", ["genre", "mood", "track"])
def test_pair_protocols_equal_a_loop_over_all_pairs(protocol: str, annotation: str) -> None:
    labels = catalogue()
    vectors = embed(labels)
    score = by_name(evaluate(vectors, labels, SMALL)).get((protocol, annotation))
    if annotation == "track" and protocol != "paper":
        assert score is None  # no pair of one track is left to be relevant
        return
    assert score is not None
    scores, chances = naive_pairs(vectors, labels, protocol, annotation)
    assert [c.average_precision for c in score.categories] == pytest.approx(scores, abs=1e-6)
    assert score.map == pytest.approx(np.mean(scores), abs=1e-6)
    assert score.chance == pytest.approx(np.mean(chances))
    assert score.n == len(scores)


def test_genres_have_intervals_of_their_own_and_single_tracks_none() -> None:
    labels = catalogue()
    scores = by_name(evaluate(embed(labels), labels, dataclasses.replace(SMALL, resamples=200)))
    for category in scores["paper", "genre"].categories:
        assert category.low < category.average_precision < category.high
    assert all(np.isnan(category.low) for category in scores["paper", "track"].categories)


@pytest.mark.parametrize("annotation", ["genre", "mood", "track"])
def test_full_protocol_equals_a_loop_over_all_queries(annotation: str) -> None:
    labels = catalogue()
    vectors = embed(labels)
    values, scores, hits = values_of(labels, annotation), [], []
    for query, own in enumerate(values):
        others = [i for i, v in enumerate(values) if v and i != query]
        relevant = [bool({*own} & {*values[i]}) for i in others]
        if any(relevant):
            distances = np.linalg.norm(vectors[others].astype(float) - vectors[query], axis=1)
            scores.append(average_precision_score(relevant, -np.float32(distances)))
            hits.append(np.mean(np.array(relevant)[np.argsort(distances)[:10]]))
    score = by_name(evaluate(vectors, labels, SMALL))["full", annotation]
    assert score.n == len(scores)
    assert score.map == pytest.approx(np.mean(scores), abs=1e-6)
    assert score.details["precision_at_10"] == pytest.approx(np.mean(hits), abs=1e-6)


def test_full_protocol_sees_a_hub_and_what_it_hides() -> None:
    labels = catalogue(tracks=40, clips=1)
    vectors = np.eye(40, 128, dtype=np.float32)
    vectors[0] = 0.5 * vectors[1:].mean(axis=0)  # nearer to every other than they are to each other
    settings = dataclasses.replace(SMALL, protocols=("full",), neighbours=1)
    details = evaluate(vectors, labels, settings)[0].details
    assert details["hubness_skew"] > 5
    assert details["never_retrieved"] == 0  # the others tie for the hub's own nearest


def test_paper_protocol_draws_the_papers_numbers_of_pairs() -> None:
    labels = catalogue(tracks=60, clips=10)
    settings = dataclasses.replace(SMALL, protocols=("paper",), resamples=2, draws=2)
    scores = by_name(evaluate(embed(labels), labels, settings))
    assert scores["paper", "genre"].chance == pytest.approx(0.3315, abs=5e-5)
    assert scores["paper", "track"].chance == pytest.approx(0.049, abs=5e-4)
    assert scores["paper", "track"].n == 60


def test_perfect_embeddings_score_one_everywhere() -> None:
    labels = catalogue()
    codes = [GENRES.index(genres[0]) for genres in labels.genres]
    vectors = np.eye(3, 128, dtype=np.float32)[codes]
    settings = dataclasses.replace(SMALL, annotations=("genre",))
    for score in evaluate(vectors, labels, settings):
        assert (score.map, score.low, score.high) == pytest.approx((1, 1, 1), abs=1e-6)


def test_equal_embeddings_tie_and_score_the_share_of_positives() -> None:
    labels = catalogue()
    vectors = np.full((len(labels), 128), 128**-0.5, dtype=np.float32)
    scores = by_name(evaluate(vectors, labels, SMALL))
    inside, outside = 12, 24  # clips of a genre, and of the other two
    positives = inside * (inside - 1) / 2
    assert scores["paper", "genre"].map == pytest.approx(positives / (positives + inside * outside))
    assert scores["full", "genre"].map == pytest.approx((inside - 1) / (len(labels) - 1))


def test_random_embeddings_score_chance_within_their_interval() -> None:
    labels = catalogue(tracks=60, clips=10)
    vectors = np.random.default_rng(0).normal(size=(len(labels), 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for score in evaluate(vectors, labels, dataclasses.replace(SMALL, resamples=100)):
        assert score.map == pytest.approx(score.chance, abs=0.015), score
        assert score.low - 0.01 < score.chance < score.high + 0.01, score


def shuffled(labels: LabelledClips, order: NDArray[np.intp]) -> LabelledClips:
    return LabelledClips(
        [labels.track_ids[i] for i in order],
        [labels.genres[i] for i in order],
        [labels.moods[i] for i in order],
        [labels.artists[i] for i in order],
    )


def test_scores_do_not_depend_on_the_clips_order() -> None:
    labels = catalogue()
    vectors = embed(labels)
    order = np.random.default_rng(3).permutation(len(labels))
    expected = evaluate(vectors, labels, SMALL)
    measured = evaluate(vectors[order], shuffled(labels, order), SMALL)
    for score, other in zip(expected, measured, strict=True):
        assert (score.map, score.chance) == pytest.approx((other.map, other.chance), abs=1e-9)
        assert (score.low, score.high) == pytest.approx((other.low, other.high), abs=1e-6)


def test_draws_do_not_depend_on_the_order_of_tracks_nor_on_the_workers() -> None:
    labels = catalogue(tracks=45, clips=10)
    vectors = embed(labels)
    blocks = np.random.default_rng(4).permutation(45)
    order = (blocks[:, None] * 10 + np.arange(10)).ravel()
    settings = dataclasses.replace(SMALL, inside=20, outside=20)
    expected = evaluate(vectors, labels, settings)
    threads = dataclasses.replace(settings, workers=2)
    measured = evaluate(vectors[order], shuffled(labels, order), threads)
    for score, other in zip(expected, measured, strict=True):
        assert dataclasses.replace(score, details={}) == dataclasses.replace(other, details={})
        assert score.details == pytest.approx(other.details)


def test_seed_decides_the_draws() -> None:
    labels = catalogue(tracks=45, clips=10)
    vectors = embed(labels)

    def run(seed: int) -> list[Score]:
        settings = EvaluationSettings(
            protocols=("paper",), inside=20, outside=20, resamples=5, seed=seed
        )
        return evaluate(vectors, labels, settings)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert all(score.spread > 0 for score in run(1))


def test_stricter_protocols_take_away_the_easy_pairs() -> None:
    labels = catalogue(tracks=30, clips=4)
    scores = by_name(evaluate(embed(labels), labels, SMALL))
    assert scores["paper", "genre"].map > scores["xt", "genre"].map


def test_interval_covers_the_score_and_narrows_with_more_tracks() -> None:
    widths = []
    for tracks in (12, 96):
        labels = catalogue(tracks)
        settings = EvaluationSettings(protocols=("paper",), annotations=("genre",))
        (score,) = evaluate(embed(labels, signal=0.3), labels, settings)
        assert score.low < score.map < score.high
        widths.append(score.high - score.low)
    assert widths[1] < 0.6 * widths[0]


def test_interval_holds_the_expected_score_as_often_as_it_says() -> None:
    """Few tracks: a resample's own score is higher by a third of what tells encoders apart."""
    settings = EvaluationSettings(
        protocols=("paper", "xt"), annotations=("genre",), draws=1, resamples=100, workers=1
    )
    labels = catalogue(tracks=18)
    found: dict[str, list[Score]] = {"paper": [], "xt": []}
    for seed in range(100):
        for score in evaluate(embed(labels, seed, signal=0.4), labels, settings):
            found[score.protocol].append(score)
    for protocol, scores in found.items():
        expected = np.mean([score.map for score in scores])
        held = np.mean([score.low <= expected <= score.high for score in scores])
        assert 0.88 <= held <= 0.99, protocol
    lifted = [score.replicates.mean() - score.map for score in found["paper"]]
    assert np.mean(lifted) > 0.01  # what the interval takes out


def test_difference_is_paired_and_excludes_zero_only_when_it_is_clear() -> None:
    labels = catalogue(tracks=60)
    settings = EvaluationSettings(protocols=("paper",), annotations=("genre",))
    (good,) = evaluate(embed(labels), labels, settings)
    (bad,) = evaluate(embed(labels, signal=0.1), labels, settings)
    delta, low, high = difference(good, bad)
    assert low < delta < high
    assert low > 0
    assert difference(good, good) == (0, 0, 0)


def test_difference_refuses_scores_of_other_clips() -> None:
    few, many = catalogue(tracks=12), catalogue(tracks=24)
    settings = dataclasses.replace(SMALL, protocols=("paper",), annotations=("track",))
    score, other = (evaluate(embed(clips), clips, settings)[0] for clips in (few, many))
    with pytest.raises(EvaluationError, match="same clips"):
        difference(score, other)


def test_single_clip_categories_are_left_out() -> None:
    labels = catalogue()
    lone = dataclasses.replace(labels, genres=[("solo",), *labels.genres[1:]])
    score = by_name(evaluate(embed(labels), lone, SMALL))["paper", "genre"]
    assert [category.name for category in score.categories] == list(GENRES)


def test_unlabelled_clips_change_nothing() -> None:
    labels = catalogue()
    vectors = embed(labels)
    unlabelled = [f"track {t}" for t in range(900, 906)]
    more = LabelledClips(
        [*labels.track_ids, *unlabelled],
        [*labels.genres, *[()] * 6],
        [*labels.moods, *[()] * 6],
        [*labels.artists, *[""] * 6],
    )
    noise = np.random.default_rng(5).normal(size=(6, 128)).astype(np.float32)
    settings = dataclasses.replace(SMALL, annotations=("genre", "mood"), resamples=0)
    expected = evaluate(vectors, labels, settings)
    measured = evaluate(np.concatenate([vectors, noise]), more, settings)
    for score, other in zip(expected, measured, strict=True):
        assert (score.map, score.chance, score.n) == (other.map, other.chance, other.n)


def test_tracks_without_an_artist_are_artists_of_their_own() -> None:
    labels = dataclasses.replace(catalogue(), artists=())
    scores = by_name(evaluate(embed(labels), labels, SMALL))
    assert scores["artist", "genre"].map == scores["xt", "genre"].map


def test_annotation_without_categories_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    labels = dataclasses.replace(catalogue(), moods=[()] * 36)
    with caplog.at_level(logging.WARNING):
        scores = evaluate(embed(labels), labels, SMALL)
    assert {score.annotation for score in scores} == {"genre", "track"}
    assert "No mood could be scored" in caplog.text


def without_clips() -> tuple[Vectors, LabelledClips]:
    return np.empty((0, 128), dtype=np.float32), LabelledClips([], [], [])


def without_labels() -> tuple[Vectors, LabelledClips]:
    labels = LabelledClips(["a", "b"], [(), ()], [(), ()])
    return np.eye(2, 128, dtype=np.float32), labels


def with_nan() -> tuple[Vectors, LabelledClips]:
    labels = catalogue()
    vectors = embed(labels)
    vectors[4, 7] = np.nan
    return vectors, labels


def with_a_clip_too_few() -> tuple[Vectors, LabelledClips]:
    labels = catalogue()
    return embed(labels)[1:], labels


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (without_clips, "no clips"),
        (without_labels, "Nothing could be scored"),
        (with_nan, "not finite"),
        (with_a_clip_too_few, "one embedding per clip"),
    ],
)
def test_evaluation_refuses_what_means_nothing(
    make: Callable[[], tuple[Vectors, LabelledClips]], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(*make(), SMALL)


def test_labels_and_settings_refuse_what_does_not_fit() -> None:
    with pytest.raises(EvaluationError, match="for each"):
        LabelledClips(["a", "b"], [()], [(), ()])
    with pytest.raises(EvaluationError, match="Choose protocols"):
        EvaluationSettings(protocols=("papers",))
    with pytest.raises(EvaluationError, match="at least 1"):
        EvaluationSettings(draws=0)


@pytest.fixture(scope="module")
def scores() -> dict[str, list[Score]]:
    labels = catalogue()
    return {
        name: evaluate(embed(labels, signal=signal), labels, SMALL)
        for name, signal in {"random": 0.0, "baseline": 0.5, "convnet": 1.0}.items()
    }


def test_rows_are_the_reports_and_survive_json(scores: dict[str, list[Score]]) -> None:
    rows = to_rows(scores)
    keys = ["encoder", "protocol", "annotation", "map", "low", "high", "chance", "n"]
    assert all(list(row) == [*keys, "spread", "details"] for row in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_table_has_the_papers_shape(scores: dict[str, list[Score]]) -> None:
    shaped = table(to_rows(scores))
    assert list(shaped.index) == ["chance", "random", "baseline", "convnet"]
    assert list(shaped.columns) == ["genre", "mood", "track"]
    assert shaped.loc["convnet", "genre"] == by_name(scores["convnet"])["paper", "genre"].map
    assert list(table(to_rows(scores), "xt").columns) == ["genre", "mood"]


def test_markdown_has_a_table_for_each_protocol(scores: dict[str, list[Score]]) -> None:
    rows = to_rows(scores)
    parts, details = [table_markdown(rows, name) for name in PROTOCOLS], details_markdown(rows)
    assert [part.split(" | ")[0] for part in parts] == [f"| {name}" for name in PROTOCOLS]
    assert [len(part.splitlines()) for part in parts] == [9] * 4
    score = by_name(scores["convnet"])["paper", "genre"]
    scored, interval = (line.split(" | ")[1] for line in parts[0].splitlines()[-2:])
    assert scored == f"{score.map:.4f}"
    assert interval == f"{score.low:.2f}-{score.high:.2f}"
    heading, _, *lines = details.splitlines()
    assert {"precision at 10", "hubness skew", "never retrieved"} <= set(
        heading.strip("| ").split(" | ")
    )
    full = [row for row in rows if row["protocol"] == "full"]
    assert len(lines) == len(full)
    for line, row in zip(lines, full, strict=True):
        assert line.startswith(f"| {row['encoder']} | {row['annotation']} | ")
        assert f" | {row['details']['precision_at_10']:.3f} | " in line


def test_figure_draws_a_panel_for_each_protocol(scores: dict[str, list[Score]]) -> None:
    figure = plot_table(to_rows(scores))
    figure.draw_without_rendering()
    assert [panel.get_title() for panel in figure.axes] == list(PROTOCOLS)
    assert len(figure.axes[0].patches) == 9


@pytest.mark.parametrize("show", [table, table_markdown, plot_table])
def test_showing_nothing_is_refused(show: Callable[[list[object]], object]) -> None:
    with pytest.raises(EvaluationError, match="evaluate"):
        show([])
