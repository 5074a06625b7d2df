"""The effects chain beside what libraries offer for it: clips of ten seconds, all cores for each.

Every contender does the paper's chain to the same music-like clips: time shift, stretch, pitch,
reverberation and noise, with the same draws where it takes any. All of them run in the same
processes, one per core and one thread each, by turns, and all keep the memory that they free, as a
training does. The ratio is that of the chain in processes to the row. The two domains of training
stand beside each other with the mel bands included, which is where effects on magnitudes end. What
stretch and pitch do to the level at most, and how loud the last quarter of a second is beside the
rest at least, is measured apart, without reverberation and noise.
"""

import argparse
import math
import multiprocessing
import os
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import torch

from benchmarks.effect_libraries import CONTENDERS
from benchmarks.report import Goal, at_least, at_most, print_report
from ml.allocator import keep_memory
from ml.audio import SAMPLE_RATE
from ml.effects.chain import (
    PAPER_EFFECTS,
    EffectParameters,
    apply_effects,
    context_samples,
    draw_parameters,
)
from ml.effects.magnitudes import mel_of_effects
from ml.spectrogram import mel_spectrogram

SAMPLES = 10 * SAMPLE_RATE
CORES = os.cpu_count() or 1
OURS = "soundalike"
WAVEFORM, MAGNITUDE = "to mel bands, by the sound", "to mel bands, by magnitudes"
DRAWS = 8
# Clips of each core in a round, a multiple of the draws: half a second's work, or more.
SHARE = {
    "python-stretch, cheap": 16,
    "python-stretch": 16,
    "librosa": 8,
    "torch-audiomentations": 8,
}
OUR_SHARE = 64
NEEDED = ("python_stretch", "torch_audiomentations")


def main() -> None:
    """Time the contenders by turns; print clips/s and how much faster the chain is."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise SystemExit(f"{', '.join(missing)} missing: run `make bench`, or install .[bench]")
    rounds = parse_rounds()
    prepare_process()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, context, prepare_process) as processes:
        with ThreadPoolExecutor(CORES) as threads:
            rates = measure_rates(processes, threads, rounds)
        names = [OURS, *CONTENDERS]
        judged = dict(zip(names, processes.map(judge_sound, names), strict=True))
    rows = [
        {
            "route": route,
            "clips/s": rate,
            "ratio": f"{rates[f'{OURS}, {CORES} processes'] / rate:.1f}x",
            "level, dB": "" if route in (WAVEFORM, MAGNITUDE) else f"{judged[sound][0]:.2f}",
            "end, dB": "" if route in (WAVEFORM, MAGNITUDE) else f"{judged[sound][1]:.1f}",
        }
        for route, rate in rates.items()
        for sound in [route if route in judged else OURS]
    ]
    print_report("effects", rows, judge(rates, *judged[OURS]))


def prepare_process() -> None:
    """Compute in one thread, and keep freed memory, as loaders of minibatches do."""
    torch.set_num_threads(1)
    keep_memory()


def parse_rounds() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effects", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    return int(parser.parse_args().rounds)


def judge(rates: dict[str, float], level: float, end: float) -> list[Goal]:
    """Compare with the goals."""
    ours = rates[f"{OURS}, {CORES} processes"]
    stretch = max(rates["python-stretch"], rates["python-stretch, cheap"])
    ratios = [
        ("python-stretch, the faster preset", 4, ours / stretch),
        ("librosa", 9, ours / rates["librosa"]),
        ("torch-audiomentations", 30, ours / rates["torch-audiomentations"]),
    ]
    return [
        *(Goal(f"times faster than {n}", t, round(r, 2), r >= t) for n, t, r in ratios),
        at_least("times faster to mel bands by magnitudes", 3, rates[MAGNITUDE] / rates[WAVEFORM]),
        at_most("change of level by stretch and pitch, dB", 1, level),
        Goal("last 0.25 s beside the rest, dB", -6, round(end, 2), end >= -6),
    ]


def measure_rates(processes: Executor, threads: Executor, rounds: int) -> dict[str, float]:
    """Clips per second of each route: the best of the rounds, after one that does not count."""
    ways = {
        f"{OURS}, {CORES} processes": (processes, OURS, CORES),
        f"{OURS}, {CORES} threads": (threads, OURS, CORES),
        f"{OURS}, 1 thread": (threads, OURS, 1),
        WAVEFORM: (processes, WAVEFORM, CORES),
        MAGNITUDE: (processes, MAGNITUDE, CORES),
        **{name: (processes, name, CORES) for name in CONTENDERS},
    }
    rates = dict.fromkeys(ways, 0.0)
    for turn in range(1 + rounds):
        for way, (executor, name, workers) in ways.items():
            clips = SHARE.get(name, OUR_SHARE)
            started = time.perf_counter()
            list(executor.map(transform, [name] * workers, [clips] * workers, range(workers)))
            rate = workers * clips / (time.perf_counter() - started)
            rates[way] = max(rates[way], rate if turn else 0.0)
    return rates


def transform(name: str, clips: int, seed: int) -> None:
    """Do the whole chain to some clips; the same few draws over and over, so work is equal."""
    drawn = draw_parameters(PAPER_EFFECTS, DRAWS, torch.Generator().manual_seed(seed))
    run(name, make_music(clips), drawn.select(torch.arange(clips) % DRAWS))


def run(name: str, music: torch.Tensor, parameters: EffectParameters) -> torch.Tensor:
    """Transform the middle of each clip: (B, SAMPLES), or its mel bands."""
    if name == OURS:
        return apply_effects(music, parameters, SAMPLES)
    if name == WAVEFORM:
        return mel_spectrogram(apply_effects(music, parameters, SAMPLES))
    if name == MAGNITUDE:
        return mel_of_effects(music, parameters, SAMPLES)
    return CONTENDERS[name](music, parameters, SAMPLES)


def judge_sound(name: str) -> tuple[float, float]:
    """Largest change of level by stretch and pitch, and least level of an end, in decibels."""
    moving = {"reverb_probability": 0.0, "noise_probability": 0.0, "shift_probability": 0.0}
    settings = type(PAPER_EFFECTS)(**{**vars(PAPER_EFFECTS), **moving})
    parameters = draw_parameters(settings, 8, torch.Generator().manual_seed(7))
    music = make_music(8)
    output = run(name, music, parameters)
    changes, ends = [], []
    for clip, heard, rate in zip(output, music, parameters.rate.tolist(), strict=True):
        half = int(SAMPLES * rate) // 2
        middle = heard[len(heard) // 2 - half : len(heard) // 2 + half]
        changes.append(abs(_decibels(clip) - _decibels(middle)))
        ends.append(_decibels(clip[-SAMPLE_RATE // 4 :]) - _decibels(clip))
    return max(changes), min(ends)


def _decibels(sound: torch.Tensor) -> float:
    return 10 * math.log10(float(sound.square().mean()) + 1e-12)


@lru_cache(maxsize=8)
def make_music(clips: int) -> torch.Tensor:
    """Chords with partials, struck four times a second, and a little noise: (clips, samples)."""
    random = np.random.default_rng(0)
    n = context_samples(PAPER_EFFECTS, SAMPLES)
    seconds = np.arange(n) / SAMPLE_RATE
    strokes = 0.2 + np.exp(-8 * (seconds % 0.25))
    music = np.empty((clips, n), np.float32)
    for clip in music:
        roots = random.uniform(80, 500, 3)
        partials = [(root * k, random.uniform(0, 6.28), k) for root in roots for k in range(1, 6)]
        chord = sum(np.sin(6.28319 * f * seconds + p) / k for f, p, k in partials)
        clip[:] = 0.1 * (chord * strokes + 0.1 * random.standard_normal(n))
    return torch.from_numpy(music)


if __name__ == "__main__":
    main()
