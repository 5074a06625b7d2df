"""Finding an excerpt again: which track it is from, and where, for windows and for random clips.

Excerpts of ten seconds from random moments of random tracks of a catalogue, clean and changed, are
embedded and looked up among all windows of all tracks, by exact search in this process: what is
judged is the encoder and where its windows lie, not the index over them, whose own recall
`benchmarks.search` measures. The changes are made by libraries that training does not use.

    python -m benchmarks.excerpts CATALOG --encoder FOLDER
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import torch
from librosa.effects import pitch_shift, time_stretch
from numpy.typing import NDArray

from benchmarks.report import Goal, at_least, print_report
from ml.audio import SAMPLE_RATE, Float32, to_float
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.benchmarking import collect_catalog
from ml.collection import Collection
from ml.embedding import BATCH_CLIPS, embed_clips, read_batches
from ml.encoders import Encoder, load_encoder
from ml.environment import Environment
from ml.splits import assign_bucket
from search.database import Database, open_database
from search.index import begin_version, build_index
from search.load import Segments, load_bucket
from search.tracks import upsert_tracks
from search.windows import WindowSettings, embed_windows, list_windows

FASTER, SEMITONES, SNR_DB, MP3_KBITS = 1.05, 1.0, 10.0, 64
NEAR_SAMPLES = 5 * SAMPLE_RATE
CLIPS = "ten random clips"
LONG_CATALOGUE = 1_900_000  # windows of 40,000 tracks of four minutes
MPEG_2_KBITS = (8, 160)  # what libsndfile's compression levels 1 to 0 mean at 16 kHz

Change = Callable[[Float32, np.random.Generator], Float32]
Row = dict[str, object]


def keep(sound: Float32, _: np.random.Generator) -> Float32:
    """Leave ``[samples]`` as they are."""
    return sound


def compress(sound: Float32, _: np.random.Generator) -> Float32:
    """Encode as MP3 at a constant 64 kbit/s, and decode."""
    low, high = MPEG_2_KBITS
    file = io.BytesIO()
    quality = {"bitrate_mode": "CONSTANT", "compression_level": (high - MP3_KBITS) / (high - low)}
    sf.write(file, sound, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", **quality)
    file.seek(0)
    decoded: Float32 = sf.read(file, dtype="float32")[0]
    return decoded


def raise_pitch(sound: Float32, _: np.random.Generator) -> Float32:
    """Raise by a semitone, as long as before."""
    higher: Float32 = pitch_shift(sound, sr=SAMPLE_RATE, n_steps=SEMITONES)
    return higher


def hasten(sound: Float32, _: np.random.Generator) -> Float32:
    """Play 5 % faster at the same pitch."""
    faster: Float32 = time_stretch(sound, rate=FASTER)
    return faster


def add_noise(sound: Float32, rng: np.random.Generator) -> Float32:
    """Add white noise, 10 dB below the sound."""
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-SNR_DB / 20)
    noisy: Float32 = sound + level * rng.standard_normal(len(sound), np.float32)
    return noisy


CHANGES: Mapping[str, tuple[Change, float]] = {  # and the goal for the right track
    "clean": (keep, 0.99),
    "mp3, 64 kbit/s": (compress, 0.98),
    "one semitone up": (raise_pitch, 0.85),
    "5 % faster": (hasten, 0.85),
    "noise at 10 dB": (add_noise, 0.85),
}
PLACE_GOAL = 0.97  # of the clean excerpts


def main() -> None:
    """Embed the catalogue, look up excerpts of it, print the table."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    collection = collect_catalog(arguments.catalog, Environment().root)
    encoder = load_encoder(arguments.encoder)
    excerpts = draw_excerpts(collection, arguments.excerpts, arguments.seed)
    queries = {
        name: embed_excerpts(encoder, collection.store, excerpts, change)
        for name, (change, _) in CHANGES.items()
    }
    rows, goals, cost = [], [], []
    for hop in arguments.hops:
        started = time.perf_counter()
        windows = embed_windows(encoder, collection.store, collection.tracks, WindowSettings(hop))
        cost.append((hop, windows, time.perf_counter() - started))
        for change in CHANGES:
            row = look_up(f"window every {hop:g} s", change, queries[change], excerpts, windows)
            rows.append(row)
            if hop == arguments.hops[0]:
                goals += judge(change, row)
    clips = embed_random_clips(encoder, collection)
    rows += [look_up(CLIPS, change, queries[change], excerpts, clips) for change in CHANGES]
    measure_cost(collection, *cost[0])
    print_report("excerpts", rows, goals)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.excerpts", description=__doc__)
    parser.add_argument("catalog", help="manifest of a catalogue")
    parser.add_argument(
        "--encoder", type=Path, required=True, help="folder that `soundalike export` wrote"
    )
    parser.add_argument("--excerpts", type=int, default=1000)
    parser.add_argument(
        "--hops",
        type=lambda text: [float(hop) for hop in text.split(",")],
        default=[5.0],
        help="seconds between windows; the goals are for the first",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def draw_excerpts(collection: Collection, n: int, seed: int) -> pd.DataFrame:
    """Draw tracks, and a moment of each: columns `track_id`, `digest`, `start` (samples)."""
    rng = np.random.default_rng(seed)
    # One that is played faster needs more of its track.
    tracks = collection.tracks[collection.tracks["samples"] >= _needed_samples()]
    drawn = tracks.iloc[rng.integers(len(tracks), size=n)].reset_index(drop=True)
    return drawn.assign(start=rng.integers(0, drawn["samples"] - _needed_samples() + 1))


def embed_excerpts(
    encoder: Encoder, store: AudioStore, excerpts: pd.DataFrame, change: Change
) -> NDArray[np.float32]:
    """Change each excerpt and embed its first ten seconds: ``[N, 128]``."""
    rng = np.random.default_rng(0)
    long = _needed_samples() if change is hasten else CLIP_SAMPLES
    sounds = [
        change(to_float(store.read(digest, start, long)), rng)[:CLIP_SAMPLES]
        for digest, start in zip(excerpts["digest"], excerpts["start"], strict=True)
    ]
    batches = (
        torch.from_numpy(np.stack(sounds[first : first + BATCH_CLIPS]))
        for first in range(0, len(sounds), BATCH_CLIPS)
    )
    return np.concatenate([encoder.encode(batch).numpy() for batch in batches])


def embed_random_clips(encoder: Encoder, collection: Collection) -> Segments:
    """Embed the ten random clips of each track."""
    start = collection.clips["start"].to_numpy()
    begin = np.rint(start * 1000 / SAMPLE_RATE).astype(np.int64)
    vectors = embed_clips(encoder, collection.store, collection.clips)
    return Segments(collection.clips["track_id"].to_list(), begin, begin + 10_000, vectors)


def look_up(
    where: str,
    change: str,
    queries: NDArray[np.float32],
    excerpts: pd.DataFrame,
    segments: Segments,
) -> Row:
    """Find each excerpt's nearest segment: is it of the right track, and within 5 s."""
    best = np.argmax(queries @ segments.embeddings.T, axis=1)
    right = np.asarray(segments.track_ids, object)[best] == excerpts["track_id"].to_numpy()
    start = segments.start_ms[best] * (SAMPLE_RATE / 1000)
    near = right & (np.abs(start - excerpts["start"].to_numpy()) <= NEAR_SAMPLES)
    return {
        "index holds": where,
        "rows": len(segments),
        "excerpt": change,
        "right track": f"{right.mean():.3f}",
        "within 5 s": f"{near.mean():.3f}",
    }


def judge(change: str, row: Row) -> list[Goal]:
    """Compare a row of the first hop with its goals."""
    goals = [at_least(f"{change}: right track", CHANGES[change][1], float(str(row["right track"])))]
    if change == "clean":
        goals.append(at_least(f"{change}: within 5 s", PLACE_GOAL, float(str(row["within 5 s"]))))
    return goals


def measure_cost(collection: Collection, hop: float, windows: Segments, embedding_s: float) -> None:
    """Time reading alone, and loading into an empty database; print that, and it extrapolated."""
    placed = list_windows(collection.tracks, WindowSettings(hop))
    started = time.perf_counter()
    for _ in read_batches(collection.store, placed):
        pass
    reading_s = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder, open_database(None, Path(folder)) as database:
        database.migrate()
        loading_s, indexing_s = time_load(database, collection, windows)
    times = {
        "read": reading_s,
        "read and encode": embedding_s,
        "load": loading_s,
        "build the index": indexing_s,
    }
    print(f"Cost of {len(windows):,} windows every {hop:g} s:")
    for name, seconds in times.items():
        extrapolated = seconds / len(windows) * LONG_CATALOGUE / 60
        note = ", more in truth: it grows with the logarithm" if "index" in name else ""
        print(
            f"  {name}: {seconds:.1f} s, {len(windows) / seconds:,.0f} a second; extrapolated to "
            f"{LONG_CATALOGUE:,}: {extrapolated:,.0f} min{note}"
        )


def time_load(database: Database, collection: Collection, windows: Segments) -> tuple[float, float]:
    """Load windows by bucket and index them; the seconds of both."""
    tracks = collection.tracks.assign(title="", album="")
    tracks["bucket"] = [assign_bucket(digest) for digest in tracks["digest"]]
    upsert_tracks(database, tracks)
    begin_version(database, 1, "excerpts", "benchmark")
    bucket = dict(zip(tracks["track_id"], tracks["bucket"], strict=True))
    of_row = np.array([bucket[track] for track in windows.track_ids])
    ids = np.asarray(windows.track_ids, object)
    started = time.perf_counter()
    for number in np.unique(of_row):
        rows = of_row == number
        part = Segments(
            ids[rows], windows.start_ms[rows], windows.end_ms[rows], windows.embeddings[rows]
        )
        load_bucket(database, 1, int(number), part, "benchmark")
    loaded = time.perf_counter()
    build_index(database, 1)
    return loaded - started, time.perf_counter() - loaded


def _needed_samples() -> int:
    return round(CLIP_SAMPLES * FASTER) + 1


if __name__ == "__main__":
    main()
