"""Reading between samples: exact on what it must keep."""

import pytest
import torch

from ml.effects import interpolation
from ml.effects.interpolation import LEAD, interpolate, span


def test_interpolate_keeps_a_constant() -> None:
    step = torch.tensor([0.84, 1.0, 1.19])
    output = interpolate(torch.ones(3, span(1.19, 1000)), step, 1000)
    torch.testing.assert_close(output, torch.ones(3, 1000), rtol=0, atol=1e-5)


@pytest.mark.parametrize("frequency", [0.003, 0.1, 0.3])
def test_interpolate_reads_sines_between_their_samples(frequency: float) -> None:
    step = torch.tensor([0.8409, 1.0, 1.1892], dtype=torch.float64)
    time = torch.arange(span(1.1892, 160_000), dtype=torch.float64)
    signal = torch.sin(2 * torch.pi * frequency * time).float().expand(3, -1)
    position = LEAD + torch.arange(160_000) * step[:, None]
    expected = torch.sin(2 * torch.pi * frequency * position).float()
    error = interpolate(signal, step, 160_000) - expected
    assert error.square().mean().sqrt() < 10 ** (-60 / 20) / 2**0.5


def test_interpolate_at_step_one_copies() -> None:
    signal = torch.randn(1, span(1, 500), generator=torch.Generator().manual_seed(0))
    output = interpolate(signal, torch.ones(1), 500)
    torch.testing.assert_close(output, signal[:, LEAD : LEAD + 500], rtol=0, atol=2e-3)


def test_interpolate_refuses_a_short_signal() -> None:
    with pytest.raises(ValueError, match="must have"):
        interpolate(torch.zeros(1, 100), torch.ones(1), 100)


def test_compiled_reading_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    step = torch.tensor([0.8409, 1.0, 1.1892], dtype=torch.float64)
    signal = torch.randn(3, span(1.1892, 50_000), generator=torch.Generator().manual_seed(0))
    compiled = interpolate(signal, step, 50_000)
    monkeypatch.setattr(interpolation, "compiled", lambda _: False)
    torch.testing.assert_close(compiled, interpolate(signal, step, 50_000), rtol=0, atol=1e-5)
