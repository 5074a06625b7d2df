"""A catalogue's life at the size of the paper's: first run, no change, and small changes.

The manifest's rows name hard links to a few short files; every one is a track of its own to the
pipeline, which decodes and stores it. What the assets `catalog`, `tracks` and `clips` call is
called here, each step in a process of its own, as under Dagster. Decodes are counted by the files
that a step has written into the store. It takes 32 kB of disk a track and second, freed again.

What is not decoded costs the same whatever the files are, so shares of the first run are largest
with the shortest files that give clips and that are 16 kHz mono already, which are the default;
``--stereo`` gives 44.1 kHz stereo in four formats.
"""

import argparse
import csv
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.memory import watch_memory
from benchmarks.music import make_music, write_music
from benchmarks.report import Goal, at_most, print_report
from ml.audio import SAMPLE_RATE
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.removal import find_remains, list_stores, remove_audio, remove_rows
from ml.splits import N_BUCKETS, split_tracks
from ml.workspace import Workspace

COLUMNS = ("track_id", "path", "title", "artist", "album", "genre", "mood")
SOURCES = 20  # an inode of ext4 has at most 65,000 names
SHORTEST_SECONDS = 10.2
PLAIN, USUAL = ("wav", "flac"), ("wav", "flac", "ogg", "mp3")
USUAL_RATE = 44_100
SECOND_BYTES = 33_000
ADDED = 10
NOOP_GOAL_SECONDS, ADDED_GOAL, MEMORY_GOAL_MB = 60, 0.02, 2048
FIRST, AGAIN, ADD, LABEL, TAKEDOWN = (
    "first run",
    "no change",
    f"{ADDED} added",
    "one label edited",
    "one taken down",
)


@dataclass
class Step:
    """What one run over the catalogue took."""

    tracks: int
    step: str
    catalog: float = 0.0
    split: float = 0.0
    clips: float = 0.0
    """Seconds of the three assets."""
    total: float = 0.0
    decodes: int = 0
    process_mb: float = 0.0
    workers_mb: float = 0.0
    memory_mb: float = field(default=0.0, repr=False)
    said: str = ""

    @contextmanager
    def time(self, asset: str) -> Iterator[None]:
        """Add the seconds of the block to an asset."""
        started = time.perf_counter()
        yield
        taken = time.perf_counter() - started
        setattr(self, asset, taken)
        self.total += taken


def main() -> None:
    """Live through each size; print a row for each step."""
    arguments = parse_arguments()
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    steps: list[Step] = []
    for tracks in arguments.sizes or [arguments.tracks]:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            require_space(Path(folder), tracks, arguments.seconds)
            steps += live(Path(folder), tracks, arguments.seconds, stereo=arguments.stereo)
    hidden = {"memory_mb", "said"}
    rows = [{k: v for k, v in asdict(step).items() if k not in hidden} for step in steps]
    print_report("catalogue", rows, judge(steps))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("--tracks", type=int, default=40_000)
    parser.add_argument(
        "--sizes", type=lambda text: [int(size) for size in text.split(",")], help="1000,10000"
    )
    parser.add_argument("--seconds", type=float, default=SHORTEST_SECONDS, help="of each file")
    parser.add_argument("--stereo", action="store_true", help="44.1 kHz; wav, flac, ogg and mp3")
    parser.add_argument("--folder", help="where the disk has room; the default is for temporaries")
    return parser.parse_args()


def require_space(folder: Path, tracks: int, seconds: float) -> None:
    """Stop at once where the disk would be full midway."""
    needed, free = tracks * seconds * SECOND_BYTES, shutil.disk_usage(folder).free
    if needed > 0.8 * free:
        raise SystemExit(
            f"{tracks:,} tracks take {needed / 1e9:.0f} GB and {folder} has {free / 1e9:.0f}: "
            "name another --folder, or fewer --tracks."
        )


def live(folder: Path, tracks: int, seconds: float, *, stereo: bool) -> list[Step]:
    """Run the first time, again, and after each small change."""
    formats = USUAL if stereo else PLAIN
    rows = [make_row(number, formats) for number in range(tracks + ADDED)]
    write_links(folder, [row[1] for row in rows], seconds, stereo=stereo)
    steps: list[Step] = []

    def run(name: str, *rows: list[str], denied: str | None = None) -> None:
        write_manifest(folder, rows)
        # A fresh process, so that its memory is its own.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as process:
            steps.append(process.submit(run_assets, folder, Step(tracks, name), denied).result())
        print(steps[-1], file=sys.stderr)

    run(FIRST, *rows[:tracks])
    run(AGAIN, *rows[:tracks])
    run(ADD, *rows)
    rows[7][5] = "polka"
    run(LABEL, *rows)
    run(TAKEDOWN, *rows, denied=rows[3][0])
    return steps


def write_links(folder: Path, paths: list[str], seconds: float, *, stereo: bool) -> None:
    """Write a few short files of music, and give them many names."""
    rate = USUAL_RATE if stereo else SAMPLE_RATE
    music = make_music(seconds, rate=rate)
    music = music if stereo else music.mean(axis=1)
    sources = [folder / f"source_{number}{Path(paths[number]).suffix}" for number in range(SOURCES)]
    for number, source in enumerate(sources):
        write_music(source, music * (1 - number / 2 / SOURCES), rate)
    for number, path in enumerate(paths):
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[number % SOURCES], link)


def make_row(number: int, formats: Sequence[str]) -> list[str]:
    """Make a row of the manifest."""
    suffix = formats[number % SOURCES % len(formats)]
    path = f"music/{number // 1000:03d}/{number:06d}.{suffix}"
    labels = (f"genre {number % 12}|genre {number % 7}", f"mood {number % 5}")
    return [f"track {number}", path, f"Title {number}", f"Artist {number // 10}", "Album", *labels]


def write_manifest(folder: Path, rows: tuple[list[str], ...]) -> None:
    """Replace the manifest."""
    with (folder / "tracks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def run_assets(folder: Path, step: Step, denied: str | None) -> Step:
    """Do what a takedown does on the disk, then what the three assets do."""
    workspace, started = Workspace(folder / "var"), time.time_ns()
    with watch_memory() as peak:
        if denied:
            with step.time("clips"):
                take_down(workspace, denied)
        run_catalog(workspace, folder / "tracks.csv", step, denied)
        with step.time("split"):
            split = split_tracks(workspace.load_table("catalog"))
            workspace.save_table("tracks", split)
        run_clips(workspace, step)
    step.process_mb, step.workers_mb, step.memory_mb = peak.process, peak.workers, peak.total
    written = (workspace.root / "audio").glob("*/*.npy")
    step.decodes = sum(path.stat().st_mtime_ns >= started for path in written)
    return step


def take_down(workspace: Workspace, track_id: str) -> None:
    """Remove a track as a takedown does, and see that nothing of it is left."""
    for store in list_stores(workspace):
        remove_audio(workspace, store, track_id)
    remove_rows(workspace, track_id)
    if remains := find_remains(workspace, track_id):
        raise SystemExit(f"Left of what was taken down: {remains}")


def run_catalog(workspace: Workspace, manifest: Path, step: Step, denied: str | None) -> None:
    """Do what the asset `catalog` does."""
    with step.time("catalog"):
        found = read_catalog(str(manifest), {denied} if denied else ())
        workspace.save_table("catalog", found.tracks)
        workspace.save_table("rejected", found.rejected)
        if not found.digest:
            raise SystemExit("The catalogue has no digest.")


def run_clips(workspace: Workspace, step: Step) -> None:
    """Do what the asset `clips` does, and see that all tracks have clips."""
    with step.time("clips"):
        tracks = workspace.load_table("tracks")
        report = extract_clips(tracks, workspace.store, range(N_BUCKETS))
        clips = workspace.store.read_clips(range(N_BUCKETS))
        workspace.store.read_rejected(range(N_BUCKETS))
    step.said = str(report)
    if clips["track_id"].nunique() != len(tracks):
        raise SystemExit(f"{len(tracks):,} tracks, but clips of {clips['track_id'].nunique():,}.")


def judge(steps: list[Step]) -> list[Goal]:
    """Compare each size with the goals."""
    goals: list[Goal] = []
    for tracks in dict.fromkeys(step.tracks for step in steps):
        by_name = {step.step: step for step in steps if step.tracks == tracks}
        share = by_name[ADD].total / by_name[FIRST].total
        memory = max(step.memory_mb for step in by_name.values())
        size = f"{tracks:,} tracks"
        goals += [
            at_most(
                f"{size}: seconds of a run with no change", NOOP_GOAL_SECONDS, by_name[AGAIN].total
            ),
            at_most(f"{size}: decodes of a run with no change", 0, by_name[AGAIN].decodes),
            at_most(f"{size}: ten added, share of the first run", ADDED_GOAL, share),
            at_most(f"{size}: megabytes resident, all processes", MEMORY_GOAL_MB, memory),
        ]
    return goals


if __name__ == "__main__":
    main()
