"""Clips joined with what is known of their tracks: what models are trained on and judged by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.audio_store import AudioStore
from ml.errors import CatalogError
from ml.evaluation.labels import LabelledClips
from ml.splits import N_BUCKETS, Split

LABEL_COLUMNS = ("track_id", "artist", "genres", "moods", "split")


@dataclass(frozen=True)
class Collection:
    """Some clips of some tracks.

    Parameters
    ----------
    store : AudioStore
        Where their samples lie.
    clips : pandas.DataFrame
        One row per clip: `track_id`, `digest`, `start`, `samples`, `fingerprint`, `content`,
        `artist`, `genres`, `moods`, `split`.
    """

    store: AudioStore
    clips: pd.DataFrame

    @classmethod
    def load(cls, store: AudioStore, tracks: pd.DataFrame) -> "Collection":
        """Join all clips of the store with the tracks of the catalogue; others are left out."""
        clips = store.read_clips(range(N_BUCKETS))
        joined = clips.merge(tracks[list(LABEL_COLUMNS)], on="track_id", how="inner")
        if joined.empty:
            raise CatalogError("No clips are stored: materialise `clips` first.")
        return cls(store, joined.sort_values(["track_id", "start"]).reset_index(drop=True))

    def of(self, *splits: Split) -> "Collection":
        """Keep the clips of some splits."""
        kept = self.clips[self.clips["split"].isin(splits)].reset_index(drop=True)
        return Collection(self.store, kept)

    @property
    def tracks(self) -> pd.DataFrame:
        """One row per track, its first clip's."""
        return self.clips.drop_duplicates("track_id").reset_index(drop=True)

    @cached_property
    def labels(self) -> LabelledClips:
        """The labels of each clip, for the evaluation."""
        return LabelledClips(
            self.clips["track_id"].to_list(),
            [tuple(values) for values in self.clips["genres"]],
            [tuple(values) for values in self.clips["moods"]],
            self.clips["artist"].to_list(),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Digest of which clips these are and of their labels, whatever their order.

        A file that was copied or touched, and nothing more, changes nothing.
        """
        rows = self.clips.drop(columns="fingerprint").assign(
            genres=self.clips["genres"].map("|".join), moods=self.clips["moods"].map("|".join)
        )
        text = rows.sort_values(["track_id", "start"]).to_csv(index=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def encode_labels(values: Sequence[Sequence[str]]) -> npt.NDArray[np.bool_]:
    """Mark which labels each row has.

    Parameters
    ----------
    values : sequence of sequence of str
        Labels of each row, possibly none.

    Returns
    -------
    numpy.ndarray [shape=(len(values), labels)]
        Columns in alphabetical order of the labels.

    Examples
    --------
    >>> encode_labels([["b"], ["a", "b"], []]).astype(int).tolist()
    [[0, 1], [1, 1], [0, 0]]
    """
    names = sorted({label for row in values for label in row})
    column = {name: index for index, name in enumerate(names)}
    marks = np.zeros((len(values), len(names)), bool)
    for row, labels in enumerate(values):
        marks[row, [column[label] for label in labels]] = True
    return marks
