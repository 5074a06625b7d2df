"""Random batches of clips from the store, beside what one would write instead.

Batches of 256 random clips of ten seconds out of 100,000 are read as training reads them, by their
offset in tracks of int16 (`AudioStore.read`, then float32). Beside it, by turns: the same stretch
of a memory map by `np.load`, `np.load` of the whole track, and seeking and reading in one original
FLAC file, mixed and resampled. The files are in the page cache as far as memory goes; `--cold`
drops those of the store before each batch.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from benchmarks.music import RATE, make_music, write_music
from benchmarks.report import at_least, print_report
from ml.audio import SAMPLE_RATE, Float32, to_float
from ml.audio_store import CLIP_SAMPLES, CLIP_SECONDS, AudioStore
from ml.splits import hash_track

BATCH_CLIPS = 256
OURS, MAPPED, WHOLE, ORIGINAL = (
    "AudioStore.read",
    "memory map",
    "np.load of the track",
    "seek and read in FLAC",
)

Read = Callable[[str, int], Float32]


def main() -> None:
    """Read batches by turns; print clips a second, and what one process can feed."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        store = AudioStore(Path(folder))
        digests = write_tracks(store, arguments.tracks, arguments.seconds)
        music = make_music(arguments.seconds)
        original = write_music(Path(folder) / "original.flac", music)
        readers = make_readers(store, original)
        rates = time_readers(readers, store, digests, arguments)
    rows = [
        {
            "way": way,
            "clips/s": rate,
            "MB/s": rate * CLIP_SAMPLES * 2 / 1e6,
            "ms a batch": BATCH_CLIPS / rate * 1e3,
            "x the original": rate / rates[ORIGINAL],
        }
        for way, rate in rates.items()
    ]
    goal = f"clips/s of one process, of {arguments.needed:g} that a GPU's step takes"
    print_report("loading", rows, [at_least(goal, arguments.needed, rates[OURS])])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--tracks", type=int, default=2_500)
    parser.add_argument("--seconds", type=float, default=120, help="length of a track: 32 kB each")
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--batches", type=int, default=8, help="of which the median is taken")
    parser.add_argument(
        "--needed", type=float, default=5_000, help="assumed: 256 clips in 51 ms; see `training`"
    )
    parser.add_argument("--cold", action="store_true", help="drop the store from the page cache")
    parser.add_argument("--folder", help="where the disk has room; the default is for temporaries")
    return parser.parse_args()


def write_tracks(store: AudioStore, tracks: int, seconds: float) -> list[str]:
    """Write noise as tracks, without the store's fsync; give their digests."""
    samples = round(seconds * SAMPLE_RATE)
    noise = np.random.default_rng(0).integers(-8000, 8000, samples, np.int16)
    digests = [hash_track(f"track {number}") for number in range(tracks)]
    for digest in digests:
        path = store.audio_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, noise)
    os.sync()  # what is dirty cannot be dropped
    return digests


def make_readers(store: AudioStore, original: Path) -> dict[str, Read]:
    """List the contenders, each of which reads a clip."""

    def read_stretch(digest: str, start: int) -> Float32:
        return to_float(store.read(digest, start))

    def read_mapped(digest: str, start: int) -> Float32:
        track = np.load(store.audio_path(digest), mmap_mode="r")
        return to_float(track[start : start + CLIP_SAMPLES])

    def read_whole(digest: str, start: int) -> Float32:
        return to_float(np.load(store.audio_path(digest))[start : start + CLIP_SAMPLES])

    def read_original(_: str, start: int) -> Float32:
        with sf.SoundFile(original) as file:
            file.seek(start * RATE // SAMPLE_RATE)
            frames = file.read(int(CLIP_SECONDS * RATE), dtype="float32", always_2d=True)
        clip: Float32 = soxr.resample(frames.mean(axis=1), RATE, SAMPLE_RATE)
        return clip

    return {OURS: read_stretch, MAPPED: read_mapped, WHOLE: read_whole, ORIGINAL: read_original}


def time_readers(
    readers: dict[str, Read], store: AudioStore, digests: list[str], arguments: argparse.Namespace
) -> dict[str, float]:
    """Clips a second of each way: the median of random batches by turns."""
    generator = np.random.default_rng(0)
    spare = round(arguments.seconds * SAMPLE_RATE) - CLIP_SAMPLES
    track = generator.integers(0, len(digests), arguments.clips)
    starts = generator.integers(0, spare, arguments.clips, endpoint=True)
    taken = np.empty((1 + arguments.batches, len(readers)))  # the first round warms up
    for times in taken:
        for place, read in enumerate(readers.values()):
            batch = generator.integers(0, arguments.clips, BATCH_CLIPS)
            chosen = [(digests[track[clip]], int(starts[clip])) for clip in batch]
            if arguments.cold:
                drop_pages([store.audio_path(digest) for digest, _ in chosen])
            started = time.perf_counter()
            np.stack([read(digest, start) for digest, start in chosen])
            times[place] = time.perf_counter() - started
    rates = BATCH_CLIPS / np.median(taken[1:], axis=0)
    return dict(zip(readers, rates.tolist(), strict=True))


def drop_pages(paths: list[Path]) -> None:
    """Ask the system to forget what it has read of files."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
