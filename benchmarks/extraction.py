"""Decoding tracks into the store, beside what one would write instead, and beside the floor.

Four-minute stereo files at 44.1 kHz are made on the spot. On one core, by turns: this project (the
samples written and fsynced, the file hashed), `librosa.load`, PyAV with its resampler, and the
floor, which is decoding alone into a reused buffer and then soxr on an array that is mono already.
Then the project again, on files of all formats, with one worker and with two.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import librosa
import numpy as np
import soundfile as sf
import soxr

from benchmarks.music import RATE, make_music, write_music
from benchmarks.report import Goal, at_least, at_most, print_report
from ml.audio import SAMPLE_RATE, AudioLimits, Float32, decode_blocks
from ml.audio_store import AudioStore
from ml.decoding import Task, decode_track, decode_tracks
from ml.isolation import WorkerLimits
from ml.splits import hash_track

FORMATS = ("wav", "flac", "ogg", "mp3")
OURS, LIBROSA, PYAV, FLOOR = "soundalike", "librosa.load", "PyAV", "floor"
LIBROSA_GOALS = {"wav": 2.5, "flac": 1.5, "ogg": 1.4, "mp3": 1.5}
FLOOR_GOAL, WORKERS_GOAL = 1.15, 1.9
BLOCK_FRAMES = 1 << 16

Way = Callable[[Path], object]


class Taken(NamedTuple):
    """What a call took."""

    seconds: float
    cpu_seconds: float
    """Of this process; on a busy machine less than the seconds."""


def main() -> None:
    """Time the ways by turns, then the workers; print tracks a second and what a track costs."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        music = make_music(arguments.seconds)
        files = [write_music(Path(folder) / f"music.{suffix}", music) for suffix in FORMATS]
        store = AudioStore(Path(folder) / "audio")
        with one_core():
            seconds = {
                file: time_ways(ways(store, music), file, arguments.rounds) for file in files
            }
        gain = time_workers(store, files * arguments.copies, arguments.rounds)
    rows = [row for file, times in seconds.items() for row in describe(file, times)]
    goals = [goal for file, times in seconds.items() for goal in judge(file, times)]
    goals.append(at_least("two workers beside one", WORKERS_GOAL, gain))
    print_report("extraction", rows, goals)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240, help="length of the music")
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians are taken")
    parser.add_argument("--copies", type=int, default=4, help="of each file, for the workers")
    return parser.parse_args()


def ways(store: AudioStore, music: Float32) -> dict[str, Way]:
    """List the contenders, each of which takes a file."""
    mono = np.ascontiguousarray(music.mean(axis=1))

    def extract(file: Path) -> None:
        decode_track(make_task(file), store, AudioLimits(), decode_blocks)

    def decode_and_resample(file: Path) -> None:
        read_through(file)
        soxr.resample(mono, RATE, SAMPLE_RATE)

    return {
        OURS: extract,
        LIBROSA: partial(librosa.load, sr=SAMPLE_RATE),
        PYAV: load_by_av,
        FLOOR: decode_and_resample,
    }


def make_task(file: Path, copy: int = 0) -> Task:
    """Ask for a file as a track of its own."""
    track = f"{file.name} {copy}"
    return Task(track, hash_track(track), str(file), "", "")


def read_through(file: Path) -> None:
    """Decode a file into a buffer, and do nothing with it."""
    with sf.SoundFile(file) as source:
        block = np.empty((BLOCK_FRAMES, source.channels), np.float32)
        while len(source.read(out=block)) == BLOCK_FRAMES:
            pass


def load_by_av(file: Path) -> Any:  # noqa: ANN401 (PyAV's arrays have no type)
    """Load a file as 16 kHz mono int16 by PyAV."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
    with av.open(str(file)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames + resampler.resample(None)])


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process and its threads on one core within the block."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def time_ways(contenders: dict[str, Way], file: Path, rounds: int) -> dict[str, Taken]:
    """Time each way on a file: the medians of rounds by turns."""
    taken = np.empty((1 + rounds, len(contenders), 2))  # the first round warms up
    for times in taken:
        times[:] = [clock(way, file) for way in contenders.values()]
    medians = np.median(taken[1:], axis=0).tolist()
    return {name: Taken(*times) for name, times in zip(contenders, medians, strict=True)}


def time_workers(store: AudioStore, files: Iterable[Path], rounds: int) -> float:
    """How many times faster two workers are than one: the median of rounds by turns."""
    tasks = [make_task(file, copy) for copy, file in enumerate(files)]

    def extract(n_jobs: int) -> None:
        list(decode_tracks(tasks, store, AudioLimits(), WorkerLimits(), n_jobs, decode_blocks))

    extract(2)  # starts the server of the workers
    ratios = [clock(extract, 1).seconds / clock(extract, 2).seconds for _ in range(rounds)]
    return float(np.median(ratios))


def clock(way: Callable[[Any], object], argument: object) -> Taken:
    """Time a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    way(argument)
    return Taken(time.perf_counter() - wall, time.process_time() - cpu)


def describe(file: Path, times: dict[str, Taken]) -> Iterator[dict[str, Any]]:
    """Make a row for each way."""
    for name, taken in times.items():
        yield {
            "format": file.suffix[1:],
            "way": name,
            "tracks/s": f"{1 / taken.seconds:.2f}",
            "s": f"{taken.seconds:.3f}",
            "CPU s": f"{taken.cpu_seconds:.3f}",
            "x librosa": f"{times[LIBROSA].seconds / taken.seconds:.2f}",
            "of the floor": f"{taken.seconds / times[FLOOR].seconds:.2f}",
        }


def judge(file: Path, times: dict[str, Taken]) -> list[Goal]:
    """Compare a format with its goals."""
    kind, ours = file.suffix[1:], times[OURS].seconds
    gain = times[LIBROSA].seconds / ours
    return [
        at_least(f"times librosa's speed, {kind}", LIBROSA_GOALS[kind], gain),
        at_most(f"time beside the floor, {kind}", FLOOR_GOAL, ours / times[FLOOR].seconds),
    ]


if __name__ == "__main__":
    main()
