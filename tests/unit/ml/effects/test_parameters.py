"""Drawing what the effects do: ranges, probabilities, reproducibility."""

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from ml.effects.parameters import PAPER_EFFECTS, EffectParameters, EffectSettings, draw_parameters


def draw(settings: EffectSettings, n: int, seed: int = 0) -> EffectParameters:
    return draw_parameters(settings, n, torch.Generator().manual_seed(seed))


def tensors(parameters: EffectParameters) -> dict[str, Tensor]:
    values = {field.name: getattr(parameters, field.name) for field in fields(parameters)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def test_draws_do_not_depend_on_the_batch() -> None:
    settings = EffectSettings()
    many = tensors(draw(settings, 100))
    few = tensors(draw(settings, 3))
    assert all(torch.equal(many[name][:3], few[name]) for name in many)
    generator = torch.Generator().manual_seed(0)
    parts = [tensors(draw_parameters(settings, n, generator)) for n in (1, 60, 39)]
    for name, values in many.items():
        assert torch.equal(values, torch.cat([part[name] for part in parts]))


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    p = draw(EffectSettings(), 20_000)
    for values, low, high in [
        (p.shift, -0.5, 0.5),
        (p.rate, 0.8, 1.25),
        (p.semitones, -3, 3),
        (p.decay[p.decay > 0], 0.1, 1.0),
        (p.wet_db, -20, -3),
        (p.snr_db[p.snr_db.isfinite()], 10, 40),
        (p.gain_db, -6, 6),
        (p.tilt, -1.5, 1.5),
    ]:
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_draws_turn_each_effect_on_with_its_probability() -> None:
    p = draw(EffectSettings(stretch_probability=0.3), 20_000)
    on = [p.shift != 0, p.rate != 1, p.semitones != 0, p.decay > 0, p.snr_db.isfinite()]
    expected = torch.tensor([0.8, 0.3, 0.8, 0.5, 0.5])
    measured = torch.stack([effect.float().mean() for effect in on])
    torch.testing.assert_close(measured, expected, rtol=0, atol=0.02)
    together = torch.corrcoef(torch.stack(on).float()).fill_diagonal_(0)
    assert together.abs().max() < 0.03


def test_paper_effects_have_no_gain_and_no_tilt() -> None:
    p = draw(PAPER_EFFECTS, 1000)
    assert not p.gain_db.any()
    assert not p.tilt.any()
    assert p.lowpass.isinf().all()


def test_lowpass_is_drawn_in_its_range_and_changes_no_other_draw() -> None:
    without = tensors(draw(EffectSettings(), 20_000))
    with_it = tensors(draw(EffectSettings(lowpass_probability=0.5), 20_000))
    cutoffs = with_it.pop("lowpass")
    assert without.pop("lowpass").isinf().all()
    assert all(torch.equal(with_it[name], values) for name, values in without.items())
    drawn = cutoffs[cutoffs.isfinite()]
    assert len(drawn) / len(cutoffs) == pytest.approx(0.5, abs=0.02)
    assert 3000 <= drawn.min() < 3030
    assert 7430 < drawn.max() <= 7500
    assert float(drawn.log().mean()) == pytest.approx(math.log(3000 * 7500) / 2, abs=0.01)


def test_draws_of_a_seed_stay_what_they_were() -> None:
    p = draw(EffectSettings(), 3, seed=4)
    rows = [
        [-0.36194, 0.206935, 0.251795],
        [1.104217, 0.810105, 1.130673],
        [1.069841, 0.0, 0.014758],
        [0.0, 0.0, 0.0],
        [-14.61463, -17.973599, -15.085233],
        [5.819914, 0.0, 2.503914],
        [0.0, 0.829293, 0.0],
    ]
    expected = torch.tensor(rows, dtype=torch.float64)
    drawn = torch.stack([p.shift, p.rate, p.semitones, p.decay, p.wet_db, p.gain_db, p.tilt])
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)


def test_log_uniform_rates_are_symmetric() -> None:
    p = draw(EffectSettings(stretch_probability=1), 20_000)
    assert float(p.rate.log().mean()) == pytest.approx(0, abs=0.005)
    assert float(p.rate.log().std()) == pytest.approx(math.log(1.5625) / 12**0.5, rel=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise_probability": 1.1},
        {"rate": (1.2, 0.8)},
        {"rate": (0.0, 1)},
        {"noise_truncation": 0},
        {"lowpass_hz": (0.0, 9.0)},
    ],
)
def test_settings_refuse_what_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        EffectSettings(**wrong)  # type: ignore[arg-type]
