"""A minibatch before and after its effects: what is drawn of it, and the mel spectrograms of that.

The effects are applied to the sound, or to the magnitudes of its frames; which of the two retrieves
better for the same time is measured (docs/decisions/0006).
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ml.effects.chain import EffectParameters, apply_effects
from ml.effects.magnitudes import mel_of_effects
from ml.spectrogram import SpectrogramSettings, mel_spectrogram

Domain = Literal["waveform", "magnitude"]
_MOVED = ("context", "track", "genres", "moods", "colour")


class Draw(NamedTuple):
    """Sound and what will be done to it.

    Parameters
    ----------
    context : Tensor
        ``[C, length]`` float32 at 16 kHz: crops with what the effects need around them.
    parameters : EffectParameters
        Of the transformed version of each crop.
    samples : int
        Length of a crop, in the middle of its context.
    track : Tensor
        ``[C]`` int64, index of the track.
    genres, moods : Tensor
        ``[C, labels]`` bool.
    colour : Tensor
        ``[2 C, n_mels]`` float32, of both versions of each crop.
    """

    context: Tensor
    parameters: EffectParameters
    samples: int
    track: Tensor
    genres: Tensor
    moods: Tensor
    colour: Tensor

    @property
    def plain(self) -> Tensor:
        """The crops themselves: ``[C, samples]``."""
        margin = (self.context.shape[1] - self.samples) // 2
        return self.context[:, margin : margin + self.samples]

    def to(self, device: torch.device) -> "Draw":
        """Move the sound and its labels; the parameters stay on the CPU."""
        # Pinned by the loader, it is copied while the GPU computes.
        return self._replace(
            **{name: getattr(self, name).to(device, non_blocking=True) for name in _MOVED}
        )


class Minibatch(NamedTuple):
    """Clips and what is known of them; the second half is the first, transformed.

    Parameters
    ----------
    mel : Tensor
        ``[B, n_mels, frames]`` float32, before the logarithm.
    source : Tensor
        ``[B]`` int64: a crop and its transformed version share it.
    track : Tensor
        ``[B]`` int64, index of the track.
    genres, moods : Tensor
        ``[B, labels]`` bool.
    colour : Tensor
        ``[B, n_mels]`` float32: what the network hears `mel` multiplied by.
    """

    mel: Tensor
    source: Tensor
    track: Tensor
    genres: Tensor
    moods: Tensor
    colour: Tensor


def render(draw: Draw, spectrogram: SpectrogramSettings, domain: Domain) -> Minibatch:
    """Compute the mel spectrograms of what was drawn, on the device of its sound.

    Parameters
    ----------
    draw : Draw
        Of C crops.
    spectrogram : SpectrogramSettings
        Of the encoder.
    domain : {"waveform", "magnitude"}
        Where the effects are applied.

    Returns
    -------
    Minibatch
        Of 2 C clips: each crop plain, then each transformed.
    """
    if domain == "waveform":
        sound = apply_effects(draw.context, draw.parameters, draw.samples)
        transformed = mel_spectrogram(sound, spectrogram)
    else:
        transformed = mel_of_effects(draw.context, draw.parameters, draw.samples, spectrogram)
    return Minibatch(
        mel=torch.cat([mel_spectrogram(draw.plain, spectrogram), transformed]),
        source=torch.arange(len(draw.track), device=draw.track.device).repeat(2),
        track=draw.track.repeat(2),
        genres=draw.genres.repeat(2, 1),
        moods=draw.moods.repeat(2, 1),
        colour=draw.colour,
    )
