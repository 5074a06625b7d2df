"""Table 1 over artist-disjoint folds of a labelled catalogue: how good, from nothing but itself.

For each fold, encoders learn from the other folds' tracks (a tenth of those, by other artists
again, select the epoch) and are judged on the fold, which nothing else has read. Each fold is
scored alone; the table has the mean over folds, its bootstrap 95 % interval, and the spread.

A training is given CPU-minutes, counted over the process and its loaders: a probe of two epochs
measures what one takes, and that decides their number. Results are kept under
``DATA_DIR/quality`` by everything that decides them, so a killed run goes on; raise
``ml.development.CODE_VERSION``, or pass ``--again``, once the training code has changed.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch

from benchmarks.quality_plan import Plan, cpu_seconds, plan_epochs, write_json
from benchmarks.quality_recipes import RECIPES
from benchmarks.report import at_least, print_report
from ml.baseline import WHITENED, BaselineEncoder, BaselineSettings, fit_baseline
from ml.benchmarking import collect_catalog
from ml.collection import Collection
from ml.convnet import Variant, seed_weights
from ml.embedding import embed_clips, read_batches
from ml.encoders import ConvNetEncoder, Encoder, RandomEncoder, save_encoder
from ml.environment import Environment
from ml.evaluation.folds import Fold, average_folds, split_folds
from ml.evaluation.protocols import (
    PROTOCOLS,
    EvaluationSettings,
    Score,
    evaluate,
    table_markdown,
    to_rows,
)
from ml.evaluation.scores import difference
from ml.storage import replace_file
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings

logger = logging.getLogger("benchmarks.quality")

BASELINES = {"MFCC+PCA": BaselineSettings(), "MFCC whitened": WHITENED}
RANDOM, UNTRAINED = "random", "untrained ConvNet"
SETTLING_CLIPS = 512
RESAMPLES = 1000
GOALS = {
    ("paper", "genre"): 0.68,
    ("xt", "genre"): 0.65,
    ("artist", "genre"): 0.56,
    ("paper", "mood"): 0.45,
    ("paper", "track"): 0.85,
}

ByEncoder = dict[str, list[Score]]


def main() -> None:
    """Train, judge, print."""
    arguments = parse_arguments()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folds end with us
    for room in ("ml", "benchmarks"):
        logging.getLogger(room).setLevel(logging.INFO)
    root = Environment().root
    plan = make_plan(arguments, root / "quality")
    folds = split_folds(collect_catalog(arguments.catalog, root), arguments.folds, arguments.seed)
    epochs = {name: plan_epochs(folds[0], name, plan) for name in plan.training}
    chosen = [fold for fold in folds if arguments.only_fold in (None, fold.number)]
    if arguments.jobs > 1 and len(chosen) > 1:
        train_side_by_side([fold.number for fold in chosen], arguments.jobs)
        plan = replace(plan, again=False)  # each fold's own process has made them again
    by_fold = [judge_fold(fold, epochs, plan, arguments.protocol) for fold in chosen]
    print_table(by_fold, list(plan.training))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    names = partial(str.split, sep=",")
    parser.add_argument("catalog", help="manifest of a labelled catalogue")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20, help="CPU-minutes of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=names, default=["default", "paper"])
    parser.add_argument("--protocol", type=names, default=list(PROTOCOLS))
    parser.add_argument("--variant", choices=get_args(Variant), default="compact")
    parser.add_argument("--steps", type=int, default=50, help="between two looks at validation")
    parser.add_argument(
        "--jobs", type=int, default=1, help="folds at a time, on cores of their own"
    )
    parser.add_argument("--only-fold", type=int, help="from 0")
    parser.add_argument("--again", action="store_true", help="use no result that was kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.recipe) - set(RECIPES):
        parser.error(f"no recipe {sorted(unknown)}: choose among {tuple(RECIPES)}")
    if arguments.only_fold is not None and arguments.only_fold not in range(arguments.folds):
        parser.error(f"folds are numbered from 0 to {arguments.folds - 1}")
    return arguments


def make_plan(arguments: argparse.Namespace, folder: Path) -> Plan:
    """Build the settings of each training; selection by validation replaces early stopping."""
    usual = TrainingSettings()
    usual = replace(
        usual,
        encoder=replace(usual.encoder, variant=cast("Variant", arguments.variant)),
        minibatch=replace(usual.minibatch, steps=arguments.steps),
        seed=arguments.seed,
    )
    training = {name: RECIPES[name](usual) for name in arguments.recipe}
    return Plan(folder, training, arguments.minutes, arguments.seed, arguments.again)


def train_side_by_side(folds: Sequence[int], jobs: int) -> None:
    """Run this program for single folds, some at a time, each on its share of the cores."""
    cores = sorted(os.sched_getaffinity(0))
    waiting, running = list(folds), dict[int, subprocess.Popen[bytes]]()
    try:
        while waiting or running:
            for place in set(range(jobs)) - set(running):
                if waiting:
                    share = cores[place::jobs] or cores
                    running[place] = start_fold(waiting.pop(0), share)
            time.sleep(1)
            for place, process in list(running.items()):
                if process.poll() is not None:
                    del running[place]
                    if process.returncode:
                        raise SystemExit("A fold failed, see above; run again: the rest is kept.")
    finally:
        for process in running.values():
            process.terminate()


def start_fold(number: int, cores: Sequence[int]) -> subprocess.Popen[bytes]:
    """Run this program for one fold, on some cores; its table is not needed."""
    command = [sys.executable, "-m", "benchmarks.quality", *sys.argv[1:]]
    return subprocess.Popen(  # noqa: S603 (this very program)
        [*command, "--jobs", "1", "--only-fold", str(number)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(len(cores))},
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
    )


def judge_fold(
    fold: Fold, epochs: Mapping[str, int], plan: Plan, protocols: Sequence[str]
) -> ByEncoder:
    """Score every encoder on what was held out."""
    settings = EvaluationSettings(
        protocols=tuple(protocols), resamples=RESAMPLES, seed=1000 * plan.seed + fold.number
    )
    scores: ByEncoder = {}
    for name, decisive, make in list_encoders(fold, epochs, plan):
        vectors = embed_once(name, decisive, make, fold, plan)
        scores[name] = evaluate(vectors, fold.held_out.labels, settings)
        found = [f"{s.annotation} {s.map:.3f}" for s in scores[name] if s.protocol == protocols[0]]
        logger.info("Fold %d, %s: %s", fold.number, name, ", ".join(found))
    return scores


def list_encoders(
    fold: Fold, epochs: Mapping[str, int], plan: Plan
) -> Iterator[tuple[str, object, Callable[[], Encoder]]]:
    """Name each encoder of the table, what decides it, and how it is made."""
    seed = 1000 * plan.seed + fold.number
    yield RANDOM, seed, lambda: RandomEncoder(seed)
    clips = fold.training.clips
    for name, baseline in BASELINES.items():
        batches = partial(read_batches, fold.training.store, clips)
        yield name, asdict(baseline), partial(fit_from, batches, baseline)
    first = next(iter(plan.training.values()))
    yield UNTRAINED, asdict(first.encoder), lambda: settle_untrained(fold.training, first)
    for name, settings in plan.training.items():
        asked = replace(settings, epochs=0, patience=0)
        full = replace(settings, epochs=epochs[name], patience=epochs[name])
        train = partial(train_convnet, fold.training, fold.validation, full)
        yield f"ConvNet, {name}", [asdict(asked), plan.minutes], train


def fit_from(
    batches: Callable[[], Iterator[np.ndarray]], settings: BaselineSettings
) -> BaselineEncoder:
    """Fit a baseline, reading the clips no sooner than now."""
    return fit_baseline(batches(), settings)


def settle_untrained(training: Collection, settings: TrainingSettings) -> ConvNetEncoder:
    """Draw weights and pass training clips through, so that batch norms know their statistics.

    Nothing is learned. With the statistics that a network starts from, deep variants map all music
    to one vector, and the row would say nothing.
    """
    network = seed_weights(settings.encoder, settings.seed).train()
    for module in network.modules():
        if getattr(module, "running_mean", None) is not None:
            module.momentum = None  # type: ignore[assignment]  # the mean of all batches, none forgotten
    clips = training.clips.sample(
        min(SETTLING_CLIPS, len(training.clips)), random_state=settings.seed
    )
    with torch.no_grad():
        for batch in read_batches(training.store, clips):
            network(torch.from_numpy(batch))
    return ConvNetEncoder(network)


def embed_once(
    name: str, decisive: object, make: Callable[[], Encoder], fold: Fold, plan: Plan
) -> np.ndarray:
    """Make an encoder and embed what was held out, or find the vectors of an earlier run."""
    data = [part.fingerprint for part in (fold.training, fold.validation, fold.held_out)]
    folder = plan.result_folder(name, decisive, data)
    path = folder / "embeddings.npy"
    if path.exists() and not plan.again:
        facts = json.loads((folder / "facts.json").read_bytes())
        logger.info("Fold %d, %s: kept, %.2f CPU-min", fold.number, name, facts["cpu_minutes"])
        return cast("np.ndarray", np.load(path))
    logger.info("Fold %d, %s: making it", fold.number, name)
    started = cpu_seconds()
    encoder = make()
    facts = {"encoder": name, "fold": fold.number, "cpu_minutes": (cpu_seconds() - started) / 60}
    logger.info("Fold %d, %s: %.2f CPU-min", fold.number, name, facts["cpu_minutes"])
    vectors = embed_clips(encoder, fold.held_out.store, fold.held_out.clips)
    save_encoder(encoder, folder)
    write_json(folder / "facts.json", facts)
    with replace_file(path) as file:  # last: it says that the rest is there
        np.save(file, vectors)
    return vectors


def print_table(by_fold: Sequence[ByEncoder], recipes: Sequence[str]) -> None:
    """Print Table 1, how far the trained encoders are from the best baseline, and the goals."""
    means = {name: average_encoder([scores[name] for scores in by_fold]) for name in by_fold[0]}
    print(table_markdown(to_rows({name: list(cells.values()) for name, cells in means.items()})))
    trained = {f"ConvNet, {name}": means[f"ConvNet, {name}"] for name in recipes}
    print_differences(trained, {name: means[name] for name in BASELINES})
    rows = [
        {"protocol": protocol, "annotation": annotation, "encoder": name, **to_percent(found)}
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
    print_report("quality", rows, goals)


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


if __name__ == "__main__":
    main()
