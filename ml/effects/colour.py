"""Colour: the equalisers through which a network in training hears both versions of a crop.

Recordings of one artist, album or studio share a spectrum. What a network may rely on it learns,
and then it knows who recorded better than what is played. So each version has a curve of its own:
straight lines, in decibels, between knots that are equally spaced in mels, with gains from a
normal distribution. Not in the paper; docs/decisions/0006 says what it brought.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ml.effects.parameters import EffectSettings
from ml.spectrogram import SpectrogramSettings

KNOTS = 6


def draw_colours(
    settings: EffectSettings, n: int, spectrogram: SpectrogramSettings, generator: torch.Generator
) -> Tensor:
    """Draw an equaliser for each of `n` clips.

    Parameters
    ----------
    settings : EffectSettings
        Their `colour_db`.
    n : int
        Number of clips.
    spectrogram : SpectrogramSettings
        Of the encoder.
    generator : torch.Generator
        Seeded, on the CPU.

    Returns
    -------
    Tensor
        ``[n, n_mels]`` float32, by which the bands of a clip's mel spectrogram are multiplied.
    """
    knots = settings.colour_db * torch.randn(n, 1, KNOTS, generator=generator)
    bands = spectrogram.n_mels
    curves = functional.interpolate(knots, bands, mode="linear", align_corners=True)[:, 0]
    colours: Tensor = 10 ** (curves * spectrogram.power / 20)
    return colours
