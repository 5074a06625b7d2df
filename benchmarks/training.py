"""Where a training step's time goes, and how many clips a second each variant learns from.

Three tables of one run, on a store of generated tracks:

1. the parts of a step, one after the other in one thread, for each domain of the effects;
2. the real loop, minibatches made by loader processes, beside forward, backward and update alone
   on a minibatch that lies in memory: what a step waits for data;
3. forward and backward of every variant of the ConvNet.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from benchmarks.report import at_most, print_report
from ml.audio import SAMPLE_RATE
from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.convnet import ConvNetSettings, Variant, seed_weights
from ml.splits import hash_track
from ml.training.cores import count_cores, count_threads, limit_threads
from ml.training.minibatches import MinibatchSettings
from ml.training.rendering import Domain, Minibatch, render
from ml.training.settings import TrainingSettings
from ml.training.triplet_module import TripletModule
from ml.triplets import Labels, triplet_loss

TRACKS, TRACK_SECONDS, GENRES, MOODS = 96, 60, 4, 3
ROUNDS, LOOP_STEPS, WARM_STEPS = 4, 20, 4
VARIANT_CLIPS = 32
STEP_GOAL, IDLE_GOAL = 1.3, 0.05

Row = dict[str, Any]


def main() -> None:
    """Measure the three tables."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        collection = write_collection(Path(folder))
        with limit_threads(1):
            rows = [row for domain in get_args(Domain) for row in time_parts(collection, domain)]
        loops = [time_loop(collection, domain, device) for domain in get_args(Domain)]
    with limit_threads(count_cores()):
        variants = [time_variant(variant, device) for variant in get_args(Variant)]
    chosen = next(row for row in loops if row["part"].endswith(MinibatchSettings().domain))
    goals = [at_most("step beside forward, backward, update", STEP_GOAL, chosen["ratio"])]
    if device.type == "cuda":
        goals.append(at_most("share of a step that the GPU waits", IDLE_GOAL, chosen["idle"]))
    print_report("training", [fill(row) for row in rows + loops + variants], goals)


def write_collection(folder: Path) -> Collection:
    """Store noise as tracks: what it sounds like makes no difference to the time."""
    store, generator = AudioStore(folder), np.random.default_rng(0)
    ids = [f"{n:03d}" for n in range(TRACKS)]
    samples = TRACK_SECONDS * SAMPLE_RATE
    for track in ids:
        noise = generator.integers(-8000, 8000, samples, np.int16)
        store.write_audio(hash_track(track), noise)
    clips = pd.DataFrame({"track_id": ids, "digest": [hash_track(i) for i in ids], "start": 0})
    genres = [(f"g{n % GENRES}",) for n in range(TRACKS)]
    moods = [(f"m{n % MOODS}",) for n in range(TRACKS)]
    labels = {"genres": pd.Series(genres), "moods": pd.Series(moods)}
    return Collection(store, clips.assign(samples=samples, **labels))


def make_module(collection: Collection, domain: Domain) -> TripletModule:
    """Build the default training with its effects in this domain."""
    settings = TrainingSettings()
    minibatch = replace(settings.minibatch, domain=domain, steps=WARM_STEPS + LOOP_STEPS)
    return TripletModule(collection, replace(settings, minibatch=minibatch))


def time_parts(collection: Collection, domain: Domain) -> Iterator[Row]:
    """Time each part of a step by itself; yield a row for each."""
    module = make_module(collection, domain)
    optimizer = torch.optim.Adam(module.parameters())
    minibatches, spectrogram = module.make_minibatches(0), ConvNetSettings().spectrogram
    seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds.setdefault(name, []).append(time.perf_counter() - started)

    for step in range(1 + ROUNDS):
        with part("read and draw"):
            draw = minibatches.draw(step)
        with part("effects and front end"):
            batch = render(draw, spectrogram, domain)
        with part("forward"):
            embeddings = module.network.embed_mel(batch.mel)
        with part("mining and loss"):
            loss = triplet_loss(embeddings, labels_of(batch))
        with part("backward"):
            torch.autograd.backward(loss.total)
        with part("update"):
            optimizer.step()
            optimizer.zero_grad()
    times = {name: median(values[1:]) for name, values in seconds.items()}
    clips, whole = len(batch.source), sum(times.values())
    for name, value in times.items():
        yield {
            "part": f"{name}, {domain}",
            "ms a step": 1e3 * value,
            "share": value / whole,
            "clips/s": clips / value,
        }


def labels_of(batch: Minibatch) -> Labels:
    """Take what the objective needs to know."""
    return Labels(batch.source, batch.track, batch.genres, batch.moods)


def time_loop(collection: Collection, domain: Domain, device: torch.device) -> Row:
    """Time steps with loaders beside them, and the same steps on a minibatch in memory."""
    module = make_module(collection, domain).to(device)
    optimizer = torch.optim.Adam(module.parameters())
    waits, steps = [], []
    with limit_threads(count_threads(count_cores())):
        batches = iter(module.train_dataloader())
        for _ in range(WARM_STEPS + LOOP_STEPS):
            started = time.perf_counter()
            batch = prepare(module, next(batches), device)
            waited = time.perf_counter()
            learn(module, batch, optimizer)
            steps.append(time.perf_counter() - started)
            waits.append(waited - started)
        # With the loaders gone, the network has the cores that they had.
        alone = best_of(lambda: learn(module, batch, optimizer), ROUNDS)
    step = float(np.mean(steps[WARM_STEPS:]))
    return {
        "part": f"loop with loaders, {domain}",
        "ms a step": 1e3 * step,
        "clips/s": len(batch.source) / step,
        "ratio": step / alone,
        "idle": float(np.sum(waits[WARM_STEPS:]) / np.sum(steps[WARM_STEPS:])),
    }


def prepare(module: TripletModule, batch: Any, device: torch.device) -> Minibatch:  # noqa: ANN401
    """Do what Lightning does between the loader and the step."""
    moved = module.transfer_batch_to_device(batch, device, 0)
    ready: Minibatch = module.on_after_batch_transfer(moved, 0)
    return ready


def learn(module: TripletModule, batch: Minibatch, optimizer: torch.optim.Optimizer) -> None:
    """Make one step."""
    loss = triplet_loss(module.network.embed_mel(batch.mel), labels_of(batch)).total
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    if loss.is_cuda:
        torch.cuda.synchronize()


def time_variant(variant: Variant, device: torch.device) -> Row:
    """Time forward and backward of a network on clips of four seconds."""
    settings = TrainingSettings()
    network = seed_weights(ConvNetSettings(variant=variant), 0).to(device)
    frames = 1 + settings.crop_samples // settings.encoder.spectrogram.hop
    mel = torch.rand(VARIANT_CLIPS, settings.encoder.spectrogram.n_mels, frames, device=device)

    def pass_once() -> None:
        torch.autograd.backward(network.embed_mel(mel)[:, 0].sum())
        if device.type == "cuda":
            torch.cuda.synchronize()

    pass_once()
    seconds = best_of(pass_once, ROUNDS)
    return {
        "part": f"forward and backward, {variant}, {count_cores()} threads",
        "ms a step": 1e3 * seconds,
        "clips/s": VARIANT_CLIPS / seconds,
    }


def best_of(work: Callable[[], None], rounds: int) -> float:
    """Time some work; the fastest of the rounds, in seconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def fill(row: Mapping[str, Any]) -> Row:
    """Give every row the same columns."""
    columns = ("part", "ms a step", "share", "clips/s", "ratio", "idle")
    texts = {name: f"{row[name]:.2f}" for name in ("share", "ratio", "idle") if name in row}
    return dict.fromkeys(columns, "") | dict(row) | texts


if __name__ == "__main__":
    main()
