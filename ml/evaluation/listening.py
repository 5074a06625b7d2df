"""Examples to listen to: queries and what an encoder finds for them, as clips for a browser."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ml.audio import SAMPLE_RATE
from ml.collection import Collection
from ml.evaluation.metrics import FloatArray, IndexArray, euclidean_distances

QUERIES = 10
FOUND = 5


class Example(NamedTuple):
    """A query and its answers, as rows of the collection's clips, the nearest first."""

    query: int
    found: list[int]


def choose_examples(
    embeddings: FloatArray, tracks: IndexArray, queries: int = QUERIES, found: int = FOUND
) -> list[Example]:
    """Ask by one clip of some tracks, evenly spread, for the nearest other tracks.

    Parameters
    ----------
    embeddings : np.ndarray [shape=(clips, d)]
        One vector per clip.
    tracks : np.ndarray of int [shape=(clips,)]
        Number of each clip's track.
    queries, found : int
        How many; fewer where there are not as many tracks.

    Returns
    -------
    list of Example
        Of each found track the clip that is nearest.
    """
    firsts = np.unique(tracks, return_index=True)[1]
    chosen = firsts[np.linspace(0, len(firsts) - 1, min(queries, len(firsts))).astype(int)]
    vectors = np.asarray(embeddings, dtype=np.float64)
    distances = euclidean_distances(vectors[chosen], vectors)
    examples = []
    for query, row in zip(chosen, distances, strict=True):
        ranked = np.argsort(row, kind="stable")
        ranked = ranked[tracks[ranked] != tracks[query]]
        nearest = ranked[np.sort(np.unique(tracks[ranked], return_index=True)[1])[:found]]
        examples.append(Example(int(query), [int(clip) for clip in nearest]))
    return examples


def write_examples(collection: Collection, embeddings: FloatArray, folder: Path) -> None:
    """Write examples as Ogg files, a folder for each query.

    Files are named by the digest of their track, so that a takedown finds them.

    Parameters
    ----------
    collection : Collection
        Clips with their tracks.
    embeddings : np.ndarray [shape=(clips, d)]
        One vector per clip.
    folder : Path
        Where they go.
    """
    for number, example in enumerate(choose_examples(embeddings, collection.labels.tracks), 1):
        target = folder / f"query_{number:02d}"
        target.mkdir(parents=True)
        _write(collection, example.query, target / "0_query")
        for rank, clip in enumerate(example.found, 1):
            _write(collection, clip, target / f"{rank}_found")


def _write(collection: Collection, clip: int, stem: Path) -> None:
    row = collection.clips.iloc[clip]
    samples = collection.store.read(row["digest"], int(row["start"]))
    path = stem.with_name(f"{stem.name}_{row['digest']}.ogg")
    soundfile.write(path, samples, SAMPLE_RATE, format="OGG", subtype="VORBIS")
