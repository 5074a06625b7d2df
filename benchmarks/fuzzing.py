"""Mutated audio files through the real decode path: every one gives clips or a reason.

Short files of music in every format are damaged by a seeded generator (bits flipped, bytes
overwritten, cut off, left out, headers put before another file's sound) and taken through
`extract_clips` into a real store, with its worker processes. Counts what came of them by format,
and what must not be: a run that stops, a file without an answer, temporary files, workers.
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import psutil

from benchmarks.music import make_music, write_music
from benchmarks.report import Goal, at_least, at_most, print_report
from ml.audio import Float32
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.clip_settings import ClipSettings
from ml.clips import extract_clips
from ml.isolation import WorkerLimits
from ml.splits import N_BUCKETS, label_splits

FORMATS = ("wav", "flac", "ogg", "mp3", "aiff", "m4a")
SECONDS, RATE = 10.5, 22_050
HEADER_BYTES = 128
BATCH_FILES = 1000
WORKER = WorkerLimits(seconds=30)
CLIPS = "clips"

Mutate = Callable[[bytearray, bytes, np.random.Generator], bytes]


@dataclass
class Found:
    """What came of the files."""

    outcomes: Counter[tuple[str, str]]
    """Files by format and outcome: clips, or the reason of a rejection."""
    unanswered: int = 0
    temporaries: int = 0
    workers: int = 0


def main() -> None:
    """Mutate and extract in batches; print what came of each format's files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzzing", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = Found(Counter())
    with tempfile.TemporaryDirectory() as folder:
        originals = write_originals(Path(folder))
    starts = range(0, arguments.files, BATCH_FILES)
    for start in starts:
        numbers = range(start, min(start + BATCH_FILES, arguments.files))
        with tempfile.TemporaryDirectory() as folder:
            extract_mutated(Path(folder), originals, numbers, arguments.seed, found)
        print(f"{numbers.stop:,} of {arguments.files:,} files done", file=sys.stderr)
    found.workers = count_workers()
    print_report("fuzzing", describe(found), judge(found, arguments.files))


def write_originals(folder: Path) -> dict[str, bytes]:
    """Write the same music in every format."""
    music = make_music(SECONDS, rate=RATE)
    for suffix in FORMATS:
        path = folder / f"music.{suffix}"
        write_m4a(path, music) if suffix == "m4a" else write_music(path, music, RATE)
    return {suffix: (folder / f"music.{suffix}").read_bytes() for suffix in FORMATS}


def write_m4a(path: Path, music: Float32) -> None:
    """Write AAC in an MP4 container."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(music.T), "fltp", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def extract_mutated(
    folder: Path, originals: dict[str, bytes], numbers: range, seed: int, found: Found
) -> None:
    """Write a batch of mutated files, extract them, and look at all that is there afterwards."""
    paths = {str(number): write_mutated(folder, originals, number, seed) for number in numbers}
    tracks = label_splits(
        pd.DataFrame({"track_id": paths.keys(), "path": map(str, paths.values())})
    )
    store = AudioStore(folder / "audio")
    extract_clips(tracks, store, range(N_BUCKETS), ClipSettings(worker=WORKER))
    rejected = store.read_rejected(range(N_BUCKETS))
    outcomes = dict(zip(rejected["track_id"], rejected["reason"], strict=True))
    rows = store.read_clips(range(N_BUCKETS))
    for track_id, digest, start in rows[["track_id", "digest", "start"]].to_numpy():
        if len(store.read(digest, start)) == CLIP_SAMPLES:
            outcomes[track_id] = CLIPS
    found.unanswered += len(paths.keys() - outcomes.keys())
    found.outcomes.update((paths[track].suffix[1:], reason) for track, reason in outcomes.items())
    named = {"lock", *(f"{digest}.npy" for digest in rows["digest"])}
    files = (path for path in store.root.rglob("*") if path.is_file())
    found.temporaries += sum(p.suffix != ".parquet" and p.name not in named for p in files)


def write_mutated(folder: Path, originals: dict[str, bytes], number: int, seed: int) -> Path:
    """Write a file that was damaged in one way, or two; its number decides them."""
    generator = np.random.default_rng((seed, number))
    suffix, other = FORMATS[number % len(FORMATS)], str(generator.choice(FORMATS))
    content = originals[suffix]
    for mutate in generator.choice(list(MUTATIONS), generator.choice([1, 1, 2])):
        content = MUTATIONS[mutate](bytearray(content), originals[other], generator)
    path = folder / f"{number}.{suffix}"
    path.write_bytes(content)
    return path


def flip_bits(content: bytearray, _: bytes, generator: np.random.Generator) -> bytes:
    """Flip one to a hundred bits anywhere."""
    bits = int(10 ** generator.uniform(0, 2))
    for place in generator.integers(0, len(content), bits if content else 0).tolist():
        content[place] ^= 1 << int(generator.integers(8))
    return bytes(content)


def flip_header_bits(content: bytearray, _: bytes, generator: np.random.Generator) -> bytes:
    """Flip one to a hundred bits of the header."""
    return flip_bits(content[:HEADER_BYTES], b"", generator) + bytes(content[HEADER_BYTES:])


def overwrite(content: bytearray, _: bytes, generator: np.random.Generator) -> bytes:
    """Put random bytes, or the same byte, over a stretch."""
    start, length = generator.integers((0, 1), (len(content) + 1, 5000)).tolist()
    noise = generator.bytes(length) if generator.random() < 0.5 else b"\xff" * length
    content[start : start + length] = noise[: len(content) - start]
    return bytes(content)


def truncate(content: bytearray, _: bytes, generator: np.random.Generator) -> bytes:
    """Cut the end off."""
    return bytes(content[: int(generator.integers(0, len(content) + 1))])


def leave_out(content: bytearray, _: bytes, generator: np.random.Generator) -> bytes:
    """Leave a stretch out."""
    start, length = generator.integers((0, 1), (len(content) + 1, 20_000)).tolist()
    return bytes(content[:start] + content[start + length :])


def splice_header(content: bytearray, other: bytes, generator: np.random.Generator) -> bytes:
    """Put the start of a file of any format before the sound."""
    cut = int(generator.integers(4, 4 * HEADER_BYTES))
    return other[:cut] + bytes(content[cut if generator.random() < 0.5 else 0 :])


MUTATIONS: dict[str, Mutate] = {
    "flip_bits": flip_bits,
    "flip_header_bits": flip_header_bits,
    "overwrite": overwrite,
    "truncate": truncate,
    "leave_out": leave_out,
    "splice_header": splice_header,
}


def count_workers() -> int:
    """Count the worker processes that are left: children, and those of the server of forks."""
    servers = psutil.Process().children()
    return len(multiprocessing.active_children()) + sum(len(s.children()) for s in servers)


def describe(found: Found) -> list[dict[str, Any]]:
    """Make a row for each outcome, the most frequent first."""
    totals: Counter[str] = Counter()
    for (_, outcome), count in found.outcomes.items():
        totals[outcome] += count
    return [
        {"outcome": outcome, **{f: found.outcomes[f, outcome] for f in FORMATS}, "all": total}
        for outcome, total in totals.most_common()
    ]


def judge(found: Found, files: int) -> list[Goal]:
    """Compare with what must hold."""
    return [
        at_least("files with clips or a reason", files, sum(found.outcomes.values())),
        at_most("files without either", 0, found.unanswered),
        at_most("temporary and unnamed files left", 0, found.temporaries),
        at_most("workers left", 0, found.workers),
    ]


if __name__ == "__main__":
    main()
