"""Embedding a catalogue's clips: through the store, beside the bare network and one by one.

A store of generated tracks is embedded by `embed_clips`; beside it, in turns, the network's bare
forward on the same clips that lie in memory already, and the naive loop over single clips.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.report import at_least, print_report
from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES, AudioStore
from ml.convnet import ConvNetSettings, seed_weights
from ml.embedding import BATCH_CLIPS, embed_clips, read_batches
from ml.encoders import ConvNetEncoder
from ml.splits import hash_track

TRACKS, TRACK_SECONDS, CLIPS, ROUNDS = 32, 60, 10, 5
GOAL = 0.8

Embed = Callable[[], np.ndarray]


def main() -> None:
    """Time the three ways by turns, and check that they agree."""
    encoder = ConvNetEncoder(seed_weights(ConvNetSettings(), 0))
    with tempfile.TemporaryDirectory() as folder:
        store = AudioStore(Path(folder))
        clips = write_store(store)
        batches = [torch.from_numpy(batch) for batch in read_batches(store, clips)]

        def embed_bare() -> np.ndarray:
            with torch.inference_mode():
                return torch.cat([encoder.network(batch) for batch in batches]).numpy()

        def embed_singly() -> np.ndarray:
            singles = read_batches(store, clips, 1)
            return torch.cat([encoder.encode(torch.from_numpy(clip)) for clip in singles]).numpy()

        ways: dict[str, Embed] = {
            "embed_clips": lambda: embed_clips(encoder, store, clips),
            f"bare network, {BATCH_CLIPS} clips in memory": embed_bare,
            "loop over single clips": embed_singly,
        }
        rates = measure_rates(ways, len(clips))
    stored, bare, _ = rates.values()
    rows = [
        {"way": way, "clips/s": rate, "beside the bare network": f"{rate / bare:.2f}"}
        for way, rate in rates.items()
    ]
    goals = [
        at_least("embed_clips beside the bare network", GOAL, stored / bare),
    ]
    print_report("embedding", rows, goals)


def write_store(store: AudioStore) -> pd.DataFrame:
    """Write tracks of noise and place clips in them; give their digests and starts."""
    generator = np.random.default_rng(0)
    samples = TRACK_SECONDS * SAMPLE_RATE
    rows = []
    for number in range(TRACKS):
        digest = hash_track(f"track {number}")
        noise = generator.standard_normal(samples, np.float32) * 3000
        store.write_audio(digest, noise.clip(-32_767, 32_767).astype(np.int16))
        starts = np.sort(generator.integers(0, samples - CLIP_SAMPLES, CLIPS))
        rows += [(digest, int(start)) for start in starts]
    return pd.DataFrame(rows, columns=["digest", "start"])


def measure_rates(ways: dict[str, Embed], clips: int) -> dict[str, float]:
    """Clips per second of each way: the median of several rounds, taken by turns."""
    vectors = [embed() for embed in ways.values()]  # the warm-up checks that all agree
    for others in vectors[1:]:
        np.testing.assert_allclose(others, vectors[0], atol=1e-5)
    seconds = np.empty((ROUNDS, len(ways)))
    for times in seconds:
        for place, embed in enumerate(ways.values()):
            started = time.perf_counter()
            embed()
            times[place] = time.perf_counter() - started
    return dict(zip(ways, (clips / np.median(seconds, axis=0)).tolist(), strict=True))


if __name__ == "__main__":
    main()
