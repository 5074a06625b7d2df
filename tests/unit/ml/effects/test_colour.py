"""Colours: decibels at the knots, straight lines between them, nothing where they are off."""

import pytest
import torch
from torch import Tensor

from ml.effects.colour import KNOTS, draw_colours
from ml.effects.parameters import PAPER_EFFECTS, EffectSettings
from ml.spectrogram import SpectrogramSettings

BANDS = 5 * 21 + 1  # a band at every knot
SPECTROGRAM = SpectrogramSettings(n_mels=BANDS)
AT_KNOTS = slice(None, None, (BANDS - 1) // (KNOTS - 1))


def draw(
    settings: EffectSettings, n: int, spectrogram: SpectrogramSettings = SPECTROGRAM
) -> Tensor:
    return draw_colours(settings, n, spectrogram, torch.Generator().manual_seed(0))


def test_no_colour_changes_nothing() -> None:
    assert torch.equal(draw(PAPER_EFFECTS, 3), torch.ones(3, BANDS))


def test_knots_vary_by_the_decibels_asked_for_and_apart_from_each_other() -> None:
    knots = 20 * torch.log10(draw(EffectSettings(colour_db=3), 20_000)[:, AT_KNOTS])
    assert knots.shape[1] == KNOTS
    torch.testing.assert_close(knots.std(0), torch.full((KNOTS,), 3.0), rtol=0.02, atol=0)
    torch.testing.assert_close(knots.mean(0), torch.zeros(KNOTS), rtol=0, atol=0.1)
    assert torch.corrcoef(knots.T).fill_diagonal_(0).abs().max() < 0.03


def test_curve_is_straight_between_knots() -> None:
    decibels = 20 * torch.log10(draw(EffectSettings(), 10))
    slopes = decibels.diff().reshape(len(decibels), KNOTS - 1, -1)
    torch.testing.assert_close(
        slopes, slopes.mean(2, keepdim=True).expand_as(slopes), atol=1e-4, rtol=0
    )


def test_powers_get_the_square_of_what_magnitudes_get() -> None:
    powers = draw(EffectSettings(), 4, SpectrogramSettings(n_mels=BANDS, power=2))
    torch.testing.assert_close(powers, draw(EffectSettings(), 4).square())


def test_negative_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="colour_db must be 0 or above, not -1"):
        EffectSettings(colour_db=-1)
