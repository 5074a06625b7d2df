"""What the quality benchmark trains: settings, where results are kept, and the CPU-minutes.

A probe of two epochs measures what an epoch takes over the process and its loaders, and that
decides how many epochs the CPU-minutes are.
"""

import hashlib
import json
import logging
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from ml.collection import Collection
from ml.development import CODE_VERSION
from ml.evaluation.folds import Fold
from ml.storage import replace_file
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings

logger = logging.getLogger("benchmarks.quality")

Judge = Literal["held-out", "validation"]


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Parameters
    ----------
    folder : Path
        Where results are kept.
    training : mapping of str to TrainingSettings
        By the name of the recipe; the number of epochs is decided by `minutes`.
    minutes : float
        CPU-minutes of each training.
    seed : int
        Of the trainings.
    again : bool
        Whether results that are kept are made again.
    epochs : int, optional
        Of each training, in the place of CPU-minutes.
    judge : {"held-out", "validation"}
        Tracks of a fold that are scored.
    cut : int
        Seed that cut the folds, and of the evaluation: seeds of a training are compared on the
        same resampled tracks.
    """

    folder: Path
    training: Mapping[str, TrainingSettings]
    minutes: float
    seed: int
    again: bool
    epochs: int | None = None
    judge: Judge = "held-out"
    cut: int = 0

    def judged(self, fold: Fold) -> Collection:
        """Take the part of a fold that is scored."""
        return fold.held_out if self.judge == "held-out" else fold.validation

    def result_folder(self, *decisive: object) -> Path:
        """Folder of what these decide."""
        text = json.dumps([CODE_VERSION, self.seed, *decisive], sort_keys=True, default=str)
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]


def cpu_seconds() -> float:
    """CPU time of this process and of its children, those at work included."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)


def plan_epochs(fold: Fold, recipe: str, plan: Plan) -> int:
    """Train for two epochs; from what they take, decide how many the CPU-minutes are.

    Their number is what was asked for, if it was.
    """
    if plan.epochs is not None:
        return plan.epochs
    settings = replace(plan.training[recipe], epochs=2, patience=2)
    data = [fold.training.fingerprint, fold.validation.fingerprint]
    path = plan.result_folder("probe", asdict(settings), data) / "probe.json"
    if plan.again or not path.exists():
        logger.info("Probing %s for two epochs", recipe)
        marks = [cpu_seconds()]
        note = lambda *_: marks.append(cpu_seconds())  # noqa: E731
        train_convnet(fold.training, fold.validation, settings, report=note)
        once = max(0.0, 2 * marks[1] - marks[0] - marks[2])
        write_json(path, {"epoch": marks[2] - marks[1], "once": once})
    probe = json.loads(path.read_bytes())
    epochs = max(1, int((60 * plan.minutes - probe["once"]) / probe["epoch"] + 0.5))
    seconds, steps = probe["epoch"], settings.minibatch.steps
    logger.info("%s: %.1f CPU-s per %d steps, %d times", recipe, seconds, steps, epochs)
    return epochs


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Put a small file in place."""
    with replace_file(path) as file:
        file.write(json.dumps(content).encode())
