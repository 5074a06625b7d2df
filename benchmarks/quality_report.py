"""Table 1 over folds and seeds, and what follows from it: differences, ratios, goals."""

from collections.abc import Mapping, Sequence

from benchmarks.quality_encoders import BASELINES, RANDOM
from benchmarks.report import at_least, print_report
from ml.evaluation.folds import average_folds
from ml.evaluation.protocols import Score, details_markdown, table_markdown, to_rows
from ml.evaluation.scores import difference

GOALS = {
    ("paper", "genre"): 0.68,
    ("xt", "genre"): 0.65,
    ("artist", "genre"): 0.56,
    ("paper", "mood"): 0.45,
    ("paper", "track"): 0.85,
}

PAPER_RATIOS = {"genre": 1.77, "mood": 1.38, "track": 1.40}
"""The paper's encoder over its baseline, in Table 1."""

ByEncoder = dict[str, list[Score]]


def print_table(by_fold: Sequence[ByEncoder], epochs: Mapping[str, int]) -> None:
    """Print Table 1, how far the trained encoders are from the baselines, and the goals.

    Parameters
    ----------
    by_fold : sequence of dict
        Scores of each encoder, for each fold and seed.
    epochs : mapping of str to int
        Of each recipe.
    """
    means = {name: average_encoder([scores[name] for scores in by_fold]) for name in by_fold[0]}
    shown = to_rows({name: list(cells.values()) for name, cells in means.items()})
    for protocol in dict.fromkeys(row["protocol"] for row in shown):
        print(table_markdown(shown, protocol), end="\n\n")
    if any(row["details"] for row in shown):
        print(details_markdown(shown))
    lengths = {f"ConvNet, {name}": count for name, count in epochs.items()}
    trained = {name: means[name] for name in lengths}
    print_differences(trained, {name: means[name] for name in BASELINES})
    ratios = print_ratios(trained, means[next(iter(BASELINES))], lengths)
    rows = [
        {
            "protocol": protocol,
            "annotation": annotation,
            "encoder": name,
            "epochs": lengths.get(name, ""),
            **to_percent(found),
        }
        for protocol, annotation in means[RANDOM]
        for name, cells in means.items()
        if (found := cells.get((protocol, annotation)))
    ]
    best = next(iter(trained.values()))
    goals = [
        at_least(f"{annotation} ({protocol})", target, found.map)
        for (protocol, annotation), target in GOALS.items()
        if (found := best.get((protocol, annotation)))
    ]
    goals += [
        at_least(f"{annotation} over MFCC+PCA, as in the paper", PAPER_RATIOS[annotation], ratio)
        for annotation, ratio in ratios.items()
    ]
    print_report("quality", rows, goals)


def print_ratios(
    trained: Mapping[str, Mapping[tuple[str, str], Score]],
    baseline: Mapping[tuple[str, str], Score],
    lengths: Mapping[str, int],
) -> dict[str, float]:
    """Print trained over baseline by the paper's protocol, and the paper's own; give the first's.

    Ratios depend on chance, which is another in another catalogue.
    """
    ratios = {
        name: {
            annotation: cells["paper", annotation].map / baseline["paper", annotation].map
            for annotation in PAPER_RATIOS
            if ("paper", annotation) in cells and ("paper", annotation) in baseline
        }
        for name, cells in trained.items()
    }
    print("| over MFCC+PCA | epochs | genre | mood | track |")
    print("| --- | --- | --- | --- | --- |")
    for name, epochs, found in [
        *((name, lengths[name], found) for name, found in ratios.items()),
        ("the paper's", "", PAPER_RATIOS),
    ]:
        cells = [f"{found[a]:.2f}" if a in found else "" for a in PAPER_RATIOS]
        print(f"| {name} | {epochs} | {' | '.join(cells)} |")
    print()
    return next(iter(ratios.values()))


def to_percent(score: Score) -> dict[str, float]:
    """Figures of a score, all but hubness in per cent."""
    names = {"map": "mAP, %", "low": "low", "high": "high", "chance": "chance", "spread": "spread"}
    figures = {title: round(100 * getattr(score, name), 2) for name, title in names.items()}
    return figures | {name: round(value, 4) for name, value in score.details.items()}


def average_encoder(scores: Sequence[Sequence[Score]]) -> dict[tuple[str, str], Score]:
    """Mean over the folds of each protocol and annotation."""
    cells: dict[tuple[str, str], list[Score]] = {}
    for fold in scores:
        for score in fold:
            cells.setdefault((score.protocol, score.annotation), []).append(score)
    return {cell: average_folds(found) for cell, found in cells.items()}


def print_differences(
    trained: Mapping[str, Mapping[tuple[str, str], Score]],
    baselines: Mapping[str, Mapping[tuple[str, str], Score]],
) -> None:
    """Print trained minus the better baseline, cell by cell, by the paired bootstrap."""
    print("\n| trained | against | protocol | annotation | difference | 95 % interval |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, cells in trained.items():
        for (protocol, annotation), score in cells.items():
            rival = max(baselines, key=lambda b: baselines[b][protocol, annotation].map)
            gain, low, high = difference(score, baselines[rival][protocol, annotation])
            clear = "" if low <= 0 <= high else " *"
            print(
                f"| {name} | {rival} | {protocol} | {annotation} "
                f"| {gain:+.4f} | {low:+.3f} to {high:+.3f}{clear} |"
            )
    print("\n\\* the interval leaves out 0.\n")
