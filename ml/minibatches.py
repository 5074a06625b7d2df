"""Minibatches for triplet training: random crops of random tracks, each also transformed.

Tracks are drawn in groups of a genre, so that every term of the objective has pairs. A minibatch
is a pure function of (seed, epoch, step): the number of loader processes and the order of reading
make no difference.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ml.audio import Float32, to_float
from ml.collection import Collection, encode_labels
from ml.effects import EffectSettings, apply_effects, context_samples, draw_parameters


@dataclass(frozen=True)
class MinibatchSettings:
    """Composition of a minibatch of ``2 x tracks x crops`` clips: each crop plain and transformed.

    Parameters
    ----------
    tracks : int
        Distinct tracks, fewer if the collection is smaller.
    crops : int
        Crops of each track, at positions drawn anew each time.
    genre_group : int
        Tracks drawn together because they share a genre.
    steps : int
        Minibatches in an epoch, whatever the size of the catalogue; the model is validated after
        each epoch.
    """

    tracks: int = 32
    crops: int = 2
    genre_group: int = 4
    steps: int = 25


class Minibatch(NamedTuple):
    """Clips and what is known of them; the second half is the first, transformed.

    Parameters
    ----------
    waveform : Tensor
        ``[B, samples]`` float32 at 16 kHz.
    source : Tensor
        ``[B]`` int64: a crop and its transformed version share it.
    track : Tensor
        ``[B]`` int64, index of the track.
    genres, moods : Tensor
        ``[B, labels]`` bool.
    """

    waveform: Tensor
    source: Tensor
    track: Tensor
    genres: Tensor
    moods: Tensor


class Minibatches(Dataset[Minibatch]):
    """The minibatches of one epoch.

    Parameters
    ----------
    collection : Collection
        Training tracks, and nothing else.
    samples : int
        Length of a crop at 16 kHz.
    settings : MinibatchSettings
        Composition.
    effects : EffectSettings
        What may be done to the transformed half.
    seed, epoch : int
        They and the index decide a minibatch.
    """

    def __init__(
        self,
        collection: Collection,
        samples: int,
        settings: MinibatchSettings,
        effects: EffectSettings,
        seed: int,
        epoch: int,
    ) -> None:
        tracks = collection.tracks
        self._store = collection.store
        self._digests = tracks["digest"].to_list()
        self._lengths = tracks["samples"].to_list()
        self._genres = encode_labels(tracks["genres"].to_list())
        self._moods = encode_labels(tracks["moods"].to_list())
        self._kin = self._genres.astype(np.float32) @ self._genres.T.astype(np.float32) > 0
        self._samples = samples
        self._context = context_samples(effects, samples)
        self._settings = settings
        self._effects = effects
        self._seed = (seed, epoch)

    def __len__(self) -> int:
        """Count the minibatches."""
        return self._settings.steps

    def __getitem__(self, step: int) -> Minibatch:
        """Draw minibatch `step` of the epoch."""
        generator = np.random.default_rng([*self._seed, step])
        chosen = np.repeat(self.draw_tracks(generator), self._settings.crops)
        context = torch.from_numpy(
            np.stack([self._draw_context(t, generator) for t in chosen.tolist()])
        )
        effects = torch.Generator().manual_seed(int(generator.integers(2**63)))
        parameters = draw_parameters(self._effects, len(context), effects)
        margin = (self._context - self._samples) // 2
        plain = context[:, margin : margin + self._samples]
        twice = np.tile(chosen, 2)
        return Minibatch(
            waveform=torch.cat([plain, apply_effects(context, parameters, self._samples)]),
            source=torch.arange(len(chosen)).repeat(2),
            track=torch.from_numpy(twice),
            genres=torch.from_numpy(self._genres[twice]),
            moods=torch.from_numpy(self._moods[twice]),
        )

    def draw_tracks(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw distinct tracks; each group shares a genre with its first track.

        Parameters
        ----------
        generator : numpy.random.Generator
            Seeded.

        Returns
        -------
        numpy.ndarray [shape=(tracks,)]
            Indices of tracks.
        """
        order = generator.permutation(len(self._digests))
        wanted = min(self._settings.tracks, len(order))
        free = np.ones(len(order), bool)
        chosen: list[int] = []
        for first in order:
            if len(chosen) == wanted:
                break
            if free[first]:
                kin = order[self._kin[first, order] & free[order] & (order != first)]
                group = [first, *kin[: self._settings.genre_group - 1]][: wanted - len(chosen)]
                free[group] = False
                chosen += group
        return np.array(chosen, np.int64)

    def _draw_context(self, track: int, generator: np.random.Generator) -> Float32:
        """Read a crop with what the effects need around it; a short track is repeated."""
        spare = max(self._lengths[track] - self._context, 0)
        start = int(generator.integers(0, spare, endpoint=True))
        stretch = to_float(self._store.read(self._digests[track], start, self._context))
        return np.pad(stretch, (0, self._context - len(stretch)), mode="wrap")
