"""Table 1 over artist-disjoint folds of a labelled catalogue: how good, from nothing but itself.

For each fold, encoders learn from the other folds' tracks (a tenth of those, by other artists
again, select the epoch) and are judged on the fold, which nothing else has read. Each fold is
scored alone; the table has the mean over folds, its bootstrap 95 % interval, and the spread.

A training is given CPU-minutes, counted over the process and its loaders: a probe of two epochs
measures what one takes, and that decides their number; ``--epochs`` gives it, which another load
of the machine does not change. Results are kept under ``DATA_DIR/quality`` by everything that
decides them, so a killed run goes on; raise ``ml.development.CODE_VERSION``, or pass ``--again``,
once the training code has changed.

Whatever is still to be chosen is chosen by ``--judge validation``, which scores the tracks that
select the epoch and leaves the folds unread, and ``--seeds 2`` or more.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast, get_args

from benchmarks.quality_encoders import embed_once, list_encoders
from benchmarks.quality_plan import Judge, Plan, plan_epochs
from benchmarks.quality_recipes import RECIPES
from benchmarks.quality_report import ByEncoder, print_table
from ml.benchmarking import collect_catalog
from ml.convnet import Variant
from ml.environment import Environment
from ml.evaluation.folds import Fold, split_folds
from ml.evaluation.protocols import PROTOCOLS, EvaluationSettings, evaluate
from ml.training.settings import TrainingSettings

logger = logging.getLogger("benchmarks.quality")

RESAMPLES = 1000


def main() -> None:
    """Train, judge, print."""
    arguments = parse_arguments()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the folds end with us
    for room in ("ml", "benchmarks"):
        logging.getLogger(room).setLevel(logging.INFO)
    root = Environment().root
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    plans = [make_plan(arguments, seed, root / "quality") for seed in seeds]
    catalogue = collect_catalog(arguments.catalog, root, decode=not arguments.beside)
    folds = split_folds(catalogue, arguments.folds, arguments.seed)
    probing = replace(plans[0], again=arguments.again and not arguments.beside)
    epochs = {name: plan_epochs(folds[0], name, probing) for name in probing.training}
    chosen = [fold for fold in folds if arguments.only_fold in (None, fold.number)]
    if arguments.jobs > 1 and len(chosen) > 1:
        train_side_by_side([fold.number for fold in chosen], arguments.jobs)
        plans = [replace(plan, again=False) for plan in plans]  # made again by each fold's process
    by_fold = [
        judge_fold(fold, epochs, plan, arguments.protocol) for plan in plans for fold in chosen
    ]
    print_table(by_fold, epochs)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    names = partial(str.split, sep=",")
    parser.add_argument("catalog", help="manifest of a labelled catalogue")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=20, help="CPU-minutes of each training")
    parser.add_argument("--epochs", type=int, help="of each training, instead of CPU-minutes")
    parser.add_argument("--seed", type=int, default=0, help="cuts the folds; the first training's")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each recipe and fold")
    parser.add_argument("--judge", choices=get_args(Judge), default="held-out")
    parser.add_argument("--recipe", type=names, default=["default", "paper"])
    parser.add_argument("--protocol", type=names, default=list(PROTOCOLS))
    parser.add_argument("--variant", choices=get_args(Variant), default="compact")
    parser.add_argument("--steps", type=int, default=50, help="between two looks at validation")
    parser.add_argument(
        "--jobs", type=int, default=1, help="folds at a time, on cores of their own"
    )
    parser.add_argument("--only-fold", type=int, help="from 0")
    parser.add_argument("--beside", action="store_true", help=argparse.SUPPRESS)  # by --jobs
    parser.add_argument("--again", action="store_true", help="use no result that was kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.recipe) - set(RECIPES):
        parser.error(f"no recipe {sorted(unknown)}: choose among {tuple(RECIPES)}")
    if min(arguments.seeds, arguments.epochs or 1) < 1:
        parser.error("--seeds and --epochs must be at least 1")
    if arguments.only_fold is not None and arguments.only_fold not in range(arguments.folds):
        parser.error(f"folds are numbered from 0 to {arguments.folds - 1}")
    return arguments


def make_plan(arguments: argparse.Namespace, seed: int, folder: Path) -> Plan:
    """Build the settings of each training; selection by validation replaces early stopping."""
    usual = TrainingSettings()
    usual = replace(
        usual,
        encoder=replace(usual.encoder, variant=cast("Variant", arguments.variant)),
        minibatch=replace(usual.minibatch, steps=arguments.steps),
        seed=seed,
    )
    training = {name: RECIPES[name](usual) for name in arguments.recipe}
    return Plan(
        folder,
        training,
        arguments.minutes,
        seed,
        arguments.again,
        arguments.epochs,
        arguments.judge,
        arguments.seed,
    )


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
        end(running.values())


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, and wait until they have: their loaders end with them."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def start_fold(number: int, cores: Sequence[int]) -> subprocess.Popen[bytes]:
    """Run this program for one fold, on some cores; its table is not needed."""
    command = [sys.executable, "-m", "benchmarks.quality", *sys.argv[1:]]
    return subprocess.Popen(  # noqa: S603 (this very program)
        [*command, "--jobs", "1", "--only-fold", str(number), "--beside"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(len(cores))},
        preexec_fn=partial(os.sched_setaffinity, 0, cores),
    )


def judge_fold(
    fold: Fold, epochs: Mapping[str, int], plan: Plan, protocols: Sequence[str]
) -> ByEncoder:
    """Score every encoder on what was held out, or on what selects the epoch."""
    settings = EvaluationSettings(
        protocols=tuple(protocols), resamples=RESAMPLES, seed=1000 * plan.cut + fold.number
    )
    scores: ByEncoder = {}
    for name, decisive, make in list_encoders(fold, epochs, plan):
        vectors = embed_once(name, decisive, make, fold, plan)
        scores[name] = evaluate(vectors, plan.judged(fold).labels, settings)
        found = [f"{s.annotation} {s.map:.3f}" for s in scores[name] if s.protocol == protocols[0]]
        logger.info("Fold %d, seed %d, %s: %s", fold.number, plan.seed, name, ", ".join(found))
    return scores


if __name__ == "__main__":
    main()
