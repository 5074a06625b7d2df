"""The evaluation against scikit-learn and pytorch-metric-learning, and 40,000 clips of it.

First the same answers: average precision of each category's pairs beside scikit-learn's on the
same pairs, and mean average precision over the full collection beside pytorch-metric-learning's
calculator. Then all protocols on 4,000 tracks of ten clips, in a process of its own.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.report import at_most, print_report
from ml.evaluation.metrics import average_precision
from ml.evaluation.pairs import Pairs, draw_clips, rank_pairs
from ml.evaluation.protocols import EvaluationSettings, LabelledClips, Score, evaluate

TRACKS, CLIPS, GENRES, MOODS = 4_000, 10, 12, 8
FULL_TRACKS = 200  # pytorch-metric-learning's calculator ranks in a Python loop
ROUNDS = 5
GOAL_SECONDS, GOAL_GIGABYTES = 120, 4
LARGE = "large"

Row = dict[str, object]


def main() -> None:
    """Compare, then measure the large evaluation."""
    if sys.argv[1:] == [LARGE]:
        evaluate_large()
        return
    pairs_row, pairs_ratio = compare_with_sklearn()
    full_row, full_ratio = compare_with_metric_learning()
    command = [sys.executable, "-m", "benchmarks.evaluation", LARGE]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    seconds, gigabytes = map(float, answer.stdout.split())
    large: Row = {
        "what": f"all protocols, {TRACKS:,} tracks x {CLIPS} clips",
        "ours, ms": 1000 * seconds,
    }
    rows = [pairs_row, full_row, large | {"theirs, ms": "", "peak RSS, GB": gigabytes}]
    goals = [
        at_most("time beside scikit-learn's", 1, 1 / pairs_ratio),
        at_most("time beside pytorch-metric-learning's", 1, 1 / full_ratio),
        at_most("all protocols on 40,000 clips, seconds", GOAL_SECONDS, seconds),
        at_most("the same, peak RSS in GB", GOAL_GIGABYTES, gigabytes),
    ]
    print_report("evaluation", rows, goals)


def make_catalogue(tracks: int, seed: int = 0) -> tuple[np.ndarray, LabelledClips]:
    """Draw unit vectors that lean towards their track and genre; forty tracks of an artist."""
    generator = np.random.default_rng(seed)
    genre = generator.integers(0, GENRES, tracks)
    centres = generator.standard_normal((GENRES, 128))[genre] + generator.standard_normal(
        (tracks, 128)
    )
    track = np.repeat(np.arange(tracks), CLIPS)
    vectors = centres[track] + 1.5 * generator.standard_normal((tracks * CLIPS, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = LabelledClips(
        [f"track {t:05}" for t in track],
        [(f"genre {genre[t]}",) for t in track],
        [(f"mood {t % MOODS}", f"mood {t // 7 % MOODS}") for t in track],
        [f"artist {t // 40}" for t in track],
    )
    return vectors.astype(np.float32), labels


def compare_with_sklearn() -> tuple[Row, float]:
    """Average precision of each genre's and mood's pairs, ranked already; equal to 1e-9."""
    vectors, labels = make_catalogue(400)
    settings = EvaluationSettings()
    ranked = [
        rank_pairs(vectors, *draw_clips(annotation, category, draw, settings))
        for annotation in map(labels.annotation, ("genre", "mood"))
        for category in range(len(annotation.categories))
        for draw in range(settings.draws)
    ]
    score: list[Callable[[Pairs], float]] = [
        lambda pairs: average_precision(pairs.distances, pairs.relevant),
        lambda pairs: float(average_precision_score(pairs.relevant, -pairs.distances)),
    ]
    ours, theirs, answers = race(*(lambda f=f: [f(pairs) for pairs in ranked] for f in score))
    np.testing.assert_allclose(*answers, atol=1e-9)
    what = f"average precision, {len(ranked)} x {len(ranked[0].distances):,} pairs (scikit-learn)"
    return {"what": what, "ours, ms": ours, "theirs, ms": theirs, "peak RSS, GB": ""}, theirs / ours


def compare_with_metric_learning() -> tuple[Row, float]:
    """Mean average precision of all queries by genre; equal to 1e-4 (theirs is in float32)."""
    import torch
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    vectors, labels = make_catalogue(FULL_TRACKS)
    settings = EvaluationSettings(protocols=("full",), annotations=("genre",), resamples=0)
    calculator = AccuracyCalculator(
        include=("mean_average_precision",),
        avg_of_avgs=False,
        k=len(labels) - 1,
        device=torch.device("cpu"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False), batch_size=256),
    )
    codes = np.unique([genres[0] for genres in labels.genres], return_inverse=True)[1]
    tensors = torch.from_numpy(vectors), torch.from_numpy(codes)

    def ours_in_full() -> list[float]:
        scores: list[Score] = evaluate(vectors, labels, settings)
        return [scores[0].map]

    def theirs_in_full() -> list[float]:
        return [float(calculator.get_accuracy(*tensors)["mean_average_precision"])]

    ours, theirs, answers = race(ours_in_full, theirs_in_full)
    np.testing.assert_allclose(*answers, atol=1e-4)
    what = f"full collection by genre, {len(labels):,} queries (pytorch-metric-learning)"
    return {"what": what, "ours, ms": ours, "theirs, ms": theirs, "peak RSS, GB": ""}, theirs / ours


def race(
    ours: Callable[[], list[float]], theirs: Callable[[], list[float]]
) -> tuple[float, float, tuple[list[float], list[float]]]:
    """Run both by turns; the median milliseconds of each, and their answers."""
    answers = ours(), theirs()  # warm: what is compiled or imported on first use
    seconds = np.empty((ROUNDS, 2))
    for times in seconds:
        for place, run in enumerate((ours, theirs)):
            started = time.perf_counter()
            run()
            times[place] = time.perf_counter() - started
    medians = 1000 * np.median(seconds, axis=0)
    return float(medians[0]), float(medians[1]), answers


def evaluate_large() -> None:
    """Evaluate 40,000 clips under all protocols; print seconds and peak RSS in GB."""
    vectors, labels = make_catalogue(TRACKS)
    started = time.perf_counter()
    evaluate(vectors, labels)
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


if __name__ == "__main__":
    main()
