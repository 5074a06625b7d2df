"""What the quality benchmark compares: how each encoder is made, once, and what it hears."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

from benchmarks.quality_plan import Plan, cpu_seconds, write_json
from ml.baseline import WHITENED, BaselineEncoder, BaselineSettings, fit_baseline
from ml.collection import Collection
from ml.convnet import seed_weights
from ml.embedding import embed_clips, read_batches
from ml.encoders import ConvNetEncoder, Encoder, RandomEncoder, load_encoder, save_encoder
from ml.evaluation.folds import Fold
from ml.storage import replace_file
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings

logger = logging.getLogger("benchmarks.quality")

BASELINES = {"MFCC+PCA": BaselineSettings(), "MFCC whitened": WHITENED}
RANDOM, UNTRAINED = "random", "untrained ConvNet"
SETTLING_CLIPS = 512


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
        full = replace(settings, epochs=epochs[name], patience=epochs[name])
        train = partial(train_convnet, fold.training, fold.validation, full)
        yield f"ConvNet, {name}", asdict(full), train


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
    """Make an encoder and embed what is judged, or find either of an earlier run."""
    data = [part.fingerprint for part in (fold.training, fold.validation, fold.held_out)]
    folder = plan.result_folder(name, decisive, data)
    path = folder / f"{plan.judge}.npy"
    if path.exists() and not plan.again:
        logger.info("Fold %d, %s: kept", fold.number, name)
        return cast("np.ndarray", np.load(path))
    judged = plan.judged(fold)
    encoder = make_once(name, decisive, make, fold.number, folder, again=plan.again)
    vectors = embed_clips(encoder, judged.store, judged.clips)
    with replace_file(path) as file:
        np.save(file, vectors)
    return vectors


def make_once(
    name: str,
    decisive: object,
    make: Callable[[], Encoder],
    fold: int,
    folder: Path,
    *,
    again: bool,
) -> Encoder:
    """Make an encoder and keep it, or find it with the facts about it, which are written last."""
    path = folder / "facts.json"
    if path.exists() and not again:
        return load_encoder(folder)
    logger.info("Fold %d, %s: making it", fold, name)
    started = cpu_seconds()
    encoder = make()
    facts = {"encoder": name, "fold": fold, "cpu_minutes": (cpu_seconds() - started) / 60}
    if isinstance(decisive, dict) and "epochs" in decisive:
        facts |= {"epochs": decisive["epochs"], "seed": decisive["seed"]}
    logger.info("Fold %d, %s: %.2f CPU-min", fold, name, facts["cpu_minutes"])
    save_encoder(encoder, folder)
    write_json(path, facts)
    return encoder
