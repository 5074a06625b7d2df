"""Minibatches for triplet training: random crops of random tracks, each also transformed.

Tracks are drawn in groups of a genre, so that every term of the objective has pairs. A minibatch
is a pure function of (seed, epoch, step): the number of loader processes and the order of reading
make no difference.

On a CPU the loader processes draw and render; for a GPU they only draw (`Draws`), and it renders.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from ml.audio import Float32, to_float
from ml.collection import Collection, encode_labels
from ml.effects.chain import EffectSettings, context_samples, draw_parameters
from ml.effects.colour import draw_colours
from ml.errors import TrainingError
from ml.spectrogram import SpectrogramSettings
from ml.training.rendering import Domain, Draw, Minibatch, render


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
    domain : {"waveform", "magnitude"}
        Where the effects are applied: to the sound, or to the magnitudes of its frames, which
        needs no inverse transform.
    """

    tracks: int = 64
    crops: int = 2
    genre_group: int = 4
    steps: int = 25
    domain: Domain = "magnitude"

    def __post_init__(self) -> None:
        if self.domain not in get_args(Domain):
            raise ValueError(f"domain must be one of {get_args(Domain)}, not {self.domain!r}")
        for name, value in (
            ("tracks_per_minibatch", self.tracks),
            ("crops_per_track", self.crops),
            ("genre_group", self.genre_group),
            ("steps_per_epoch", self.steps),
        ):
            require_at_least_one(name, value)


def require_at_least_one(name: str, value: int) -> None:
    """Refuse a setting that counts something and has nothing to count.

    Raises
    ------
    TrainingError
        Names the setting as run configurations do.
    """
    if value < 1:
        raise TrainingError(f"{name} must be at least 1, not {value}.")


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
    spectrogram : SpectrogramSettings
        Of the encoder.
    seed, epoch : int
        They and the index decide a minibatch.
    """

    def __init__(
        self,
        collection: Collection,
        samples: int,
        settings: MinibatchSettings,
        effects: EffectSettings,
        spectrogram: SpectrogramSettings,
        seed: int,
        epoch: int,
    ) -> None:
        tracks = collection.tracks
        self._store = collection.store
        self._digests = tracks["digest"].to_list()
        self._lengths = tracks["samples"].to_list()
        self._genres = encode_labels(tracks["genres"].to_list())
        self._moods = encode_labels(tracks["moods"].to_list())
        self._samples = samples
        self._context = context_samples(effects, samples)
        self._settings = settings
        self._effects = effects
        self._spectrogram = spectrogram
        self._seed = (seed, epoch)

    def __len__(self) -> int:
        """Count the minibatches."""
        return self._settings.steps

    def __getitem__(self, step: int) -> Minibatch:
        """Draw minibatch `step` of the epoch and render it."""
        return render(self.draw(step), self._spectrogram, self._settings.domain)

    def draw(self, step: int) -> Draw:
        """Draw minibatch `step` of the epoch."""
        generator = np.random.default_rng([*self._seed, step])
        chosen = np.repeat(self.draw_tracks(generator), self._settings.crops)
        context = np.stack([self._draw_context(t, generator) for t in chosen.tolist()])
        draws = torch.Generator().manual_seed(int(generator.integers(2**63)))
        effects, clips = self._effects, 2 * len(context)
        return Draw(
            context=torch.from_numpy(context),
            parameters=draw_parameters(effects, len(context), draws),
            samples=self._samples,
            track=torch.from_numpy(chosen),
            genres=torch.from_numpy(self._genres[chosen]),
            moods=torch.from_numpy(self._moods[chosen]),
            colour=draw_colours(effects, clips, self._spectrogram, draws),
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
                kin = order[(self._find_kin(first) & free)[order] & (order != first)]
                group = [first, *kin[: self._settings.genre_group - 1]][: wanted - len(chosen)]
                free[group] = False
                chosen += group
        return np.array(chosen, np.int64)

    def _find_kin(self, track: int) -> npt.NDArray[np.bool_]:
        """Mark the tracks that share a genre with one."""
        return np.asarray(self._genres[:, self._genres[track]].any(1))

    def _draw_context(self, track: int, generator: np.random.Generator) -> Float32:
        """Read a crop with what the effects need around it; a short track is repeated."""
        spare = max(self._lengths[track] - self._context, 0)
        start = int(generator.integers(0, spare, endpoint=True))
        stretch = to_float(self._store.read(self._digests[track], start, self._context))
        return np.pad(stretch, (0, self._context - len(stretch)), mode="wrap")


class Draws(Dataset[Draw]):
    """Minibatches as they are drawn, for a GPU to render.

    Parameters
    ----------
    minibatches : Minibatches
        Of an epoch.
    """

    def __init__(self, minibatches: Minibatches) -> None:
        self._minibatches = minibatches

    def __len__(self) -> int:
        """Count the minibatches."""
        return len(self._minibatches)

    def __getitem__(self, step: int) -> Draw:
        """Draw minibatch `step` of the epoch."""
        return self._minibatches.draw(step)
