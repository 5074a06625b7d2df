"""Where a training step's time goes, and how many clips a second each variant learns from.

Three tables of one run, on a store of generated tracks:

1. the parts of a step, one after the other in one thread, for each domain of the effects;
2. the real loop, minibatches made by loader processes, beside forward, backward and update alone
   on a minibatch that lies in memory, by all the cores that the loop has: what making data costs.
   For every variant on a GPU, or with ``--every-variant``; else for the default;
3. forward and backward of every variant of the ConvNet.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from benchmarks.report import at_most, print_report
from ml.allocator import keep_memory
from ml.audio import SAMPLE_RATE, Int16
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.collection import Collection
from ml.convnet import ConvNetSettings, Variant, seed_weights
from ml.effects.chain import apply_effects
from ml.effects.magnitudes import mel_of_effects
from ml.spectrogram import SpectrogramSettings, mel_spectrogram
from ml.splits import hash_track
from ml.training.cores import count_cores, limit_threads
from ml.training.gathering import own_rows
from ml.training.minibatches import MinibatchSettings
from ml.training.rendering import Domain, Draw, Minibatch, render
from ml.training.settings import TrainingSettings
from ml.training.triplet_module import TripletModule
from ml.triplets import Labels, triplet_loss

TRACKS, TRACK_SECONDS, GENRES, MOODS = 96, 60, 4, 3
WARM_STEPS, VARIANT_CLIPS = 4, 32
STEP_GOAL, IDLE_GOAL = 1.3, 0.05

Row = dict[str, Any]


def main() -> None:
    """Measure the three tables."""
    arguments = parse_arguments()
    keep_memory()  # as a training does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    usual = ConvNetSettings().variant
    every = arguments.every_variant or device.type == "cuda"
    chosen = get_args(Variant) if every else (usual,)
    with tempfile.TemporaryDirectory() as folder:
        collection = write_collection(Path(folder))
        with limit_threads(1):
            rows = [
                row
                for domain in get_args(Domain)
                for row in time_parts(collection, domain, arguments.rounds)
            ]
        loops = [
            time_loop(collection, domain, variant, device, arguments.steps)
            for domain, variant in [
                *((domain, usual) for domain in get_args(Domain)),
                *((MinibatchSettings().domain, variant) for variant in chosen if variant != usual),
            ]
        ]
    with limit_threads(count_cores()):
        variants = [time_variant(name, device, arguments.rounds) for name in get_args(Variant)]
    default = next(row for row in loops if row["part"].endswith(MinibatchSettings().domain))
    goals = [at_most("step beside forward, backward, update", STEP_GOAL, default["ratio"])]
    if device.type == "cuda":
        goals.append(at_most("share of a step that the GPU waits", IDLE_GOAL, default["idle"]))
    print_report("training", [fill(row) for row in rows + loops + variants], goals)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="of a loop, and of its network alone")
    parser.add_argument("--rounds", type=int, default=4, help="of each part, and of each variant")
    parser.add_argument(
        "--every-variant", action="store_true", help="the real loop for each: minutes on a CPU"
    )
    return parser.parse_args()


@dataclass(frozen=True)
class TimedStore(AudioStore):
    """A store that remembers how long reading took."""

    seconds: list[float] = field(default_factory=list)

    def read(self, digest: str, start: int = 0, samples: int = CLIP_SAMPLES) -> Int16:
        """Read, and note the time."""
        started = time.perf_counter()
        found = super().read(digest, start, samples)
        self.seconds.append(time.perf_counter() - started)
        return found


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


def make_module(
    collection: Collection, domain: Domain, variant: Variant, steps: int
) -> TripletModule:
    """Build the default training with its effects in this domain, of this variant."""
    settings = TrainingSettings(encoder=ConvNetSettings(variant))
    minibatch = replace(settings.minibatch, domain=domain, steps=steps)
    return TripletModule(collection, replace(settings, minibatch=minibatch))


def time_parts(collection: Collection, domain: Domain, rounds: int) -> Iterator[Row]:
    """Time each part of a step by itself; yield a row for each.

    Effects on magnitudes end in mel bands: with them goes the front end of their half of the clips.
    """
    store = TimedStore(collection.store.root)
    kept = Collection(store, collection.clips)
    module = make_module(kept, domain, ConvNetSettings.variant, 1 + rounds)
    optimizer = torch.optim.Adam(module.parameters())
    minibatches, spectrogram = module.make_minibatches(0), ConvNetSettings().spectrogram
    seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds.setdefault(name, []).append(time.perf_counter() - started)

    for step in range(1 + rounds):
        store.seconds.clear()
        with part("draw"):
            draw = minibatches.draw(step)
        seconds.setdefault("read", []).append(sum(store.seconds))
        seconds["draw"][-1] -= sum(store.seconds)
        with part("effects"):
            transformed = transform(draw, spectrogram, domain)
        with part("front end"):
            mel_spectrogram(draw.plain, spectrogram)
            if domain == "waveform":
                mel_spectrogram(transformed, spectrogram)
        batch = render(draw, spectrogram, domain)
        with part("forward"):
            embeddings = module.embed(batch, own_rows(len(batch.source)))
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


def transform(draw: Draw, spectrogram: SpectrogramSettings, domain: Domain) -> torch.Tensor:
    """Apply the effects: to the sound, or to magnitudes and on to mel bands."""
    if domain == "waveform":
        return apply_effects(draw.context, draw.parameters, draw.samples)
    return mel_of_effects(draw.context, draw.parameters, draw.samples, spectrogram)


def labels_of(batch: Minibatch) -> Labels:
    """Take what the objective needs to know."""
    return Labels(batch.source, batch.track, batch.genres, batch.moods)


def time_loop(
    collection: Collection, domain: Domain, variant: Variant, device: torch.device, count: int
) -> Row:
    """Time steps with loaders beside them, and the same steps on a minibatch in memory.

    Both have all cores; in the loop, loaders have what the network leaves of them.
    """
    module = make_module(collection, domain, variant, WARM_STEPS + count).to(device)
    optimizer = torch.optim.Adam(module.parameters())
    waits, steps = [], []
    with limit_threads(count_cores()):
        batches = iter(module.train_dataloader())
        for _ in range(WARM_STEPS + count):
            started = time.perf_counter()
            batch = prepare(module, next(batches), device)
            waited = time.perf_counter()
            learn(module, batch, optimizer)
            steps.append(time.perf_counter() - started)
            waits.append(waited - started)
        alone = median(time_rounds(lambda: learn(module, batch, optimizer), count))
    step = median(steps[WARM_STEPS:])
    return {
        "part": f"loop with loaders, {variant}, {domain}",
        "ms a step": 1e3 * step,
        "clips/s": len(batch.source) / step,
        "alone, ms": 1e3 * alone,
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
    loss = triplet_loss(module.embed(batch, own_rows(len(batch.source))), labels_of(batch)).total
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    if loss.is_cuda:
        torch.cuda.synchronize()


def time_variant(variant: Variant, device: torch.device, rounds: int) -> Row:
    """Time forward and backward of a network on clips of four seconds."""
    settings = TrainingSettings()
    network = seed_weights(ConvNetSettings(variant=variant), 0).to(device)
    frames = 1 + settings.crop_samples // settings.encoder.spectrogram.hop
    mel = torch.rand(VARIANT_CLIPS, settings.encoder.spectrogram.n_mels, frames, device=device)

    def pass_once() -> None:
        torch.autograd.backward(network.embed_mel(mel)[:, 0].sum())
        if device.type == "cuda":
            torch.cuda.synchronize()

    seconds = median(time_rounds(pass_once, rounds))
    return {
        "part": f"forward and backward, {variant}, {count_cores()} threads",
        "ms a step": 1e3 * seconds,
        "clips/s": VARIANT_CLIPS / seconds,
    }


def time_rounds(work: Callable[[], None], rounds: int) -> list[float]:
    """Time some work, after a round that does not count: the seconds of each round."""
    times = []
    for _ in range(1 + rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times[1:]


def fill(row: Mapping[str, Any]) -> Row:
    """Give every row the same columns."""
    columns = ("part", "ms a step", "share", "clips/s", "alone, ms", "ratio", "idle")
    texts = {name: f"{row[name]:.2f}" for name in ("share", "ratio", "idle") if name in row}
    return dict.fromkeys(columns, "") | dict(row) | texts


if __name__ == "__main__":
    main()
