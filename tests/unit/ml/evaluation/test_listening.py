"""Examples are the nearest other tracks, as files that a browser plays and a takedown finds."""

from pathlib import Path

import numpy as np
import soundfile

from ml.audio import SAMPLE_RATE
from ml.collection import Collection
from ml.evaluation.listening import choose_examples, write_examples

TRACKS = np.repeat(np.arange(12), 3)


def test_examples_are_the_nearest_other_tracks() -> None:
    vectors = np.random.default_rng(0).normal(size=(36, 8))
    examples = choose_examples(vectors, TRACKS, queries=4, found=5)
    assert len({TRACKS[example.query] for example in examples}) == 4
    for query, found in examples:
        distances = np.linalg.norm(vectors - vectors[query], axis=1)
        nearest = {t: distances[t == TRACKS].min() for t in range(12) if t != TRACKS[query]}
        expected = sorted(nearest, key=lambda track: nearest[track])[:5]
        assert [TRACKS[clip] for clip in found] == expected
        assert [distances[clip] for clip in found] == sorted(nearest.values())[:5]


def test_few_tracks_give_few_examples() -> None:
    vectors = np.random.default_rng(1).normal(size=(6, 8))
    examples = choose_examples(vectors, np.repeat(np.arange(2), 3))
    assert [len(example.found) for example in examples] == [1, 1]


def test_files_hold_the_clips_and_are_named_by_their_tracks(
    collection: Collection, tmp_path: Path
) -> None:
    judged = collection.of("test")
    vectors = np.random.default_rng(2).normal(size=(len(judged.clips), 8))
    write_examples(judged, vectors, tmp_path)
    files = sorted(tmp_path.rglob("*.ogg"))
    assert files
    for file in files:
        digest = file.stem.rpartition("_")[2]
        assert digest in set(judged.clips["digest"])
        samples, rate = soundfile.read(file)
        assert rate == SAMPLE_RATE
        assert len(samples) == 10 * SAMPLE_RATE
    query = judged.clips[judged.clips["digest"] == files[0].stem.rpartition("_")[2]]
    original = judged.store.read(query["digest"].iloc[0], int(query["start"].iloc[0])) / 32768
    heard = soundfile.read(files[0])[0]
    assert np.corrcoef(heard, original)[0, 1] > 0.9
