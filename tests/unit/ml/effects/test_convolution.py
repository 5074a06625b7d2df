"""Circular convolution: a naive loop, and both routes alike."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ml.effects import convolution
from ml.effects.convolution import cascade, convolve_circularly


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def convolve_naively(waveform: Tensor, taps: Tensor, lead: int) -> Tensor:
    samples = waveform.shape[1]
    output = torch.zeros_like(waveform)
    for example in range(len(waveform)):
        for n in range(samples):
            for k in range(taps.shape[1]):
                output[example, n] += taps[example, k] * waveform[example, (n + lead - k) % samples]
    return output


@pytest.fixture(params=[True, False], ids=["compiled", "torch"])
def _route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "compiled", lambda _: request.param)


@pytest.mark.usefixtures("_route")
@pytest.mark.parametrize(("samples", "length", "lead"), [(50, 7, 0), (50, 7, 3), (5, 23, 11)])
def test_convolution_equals_a_naive_loop(samples: int, length: int, lead: int) -> None:
    waveform, taps = random(2, samples), random(2, length, seed=1)
    expected = convolve_naively(waveform, taps, lead)
    torch.testing.assert_close(
        convolve_circularly(waveform, taps, lead), expected, rtol=1e-4, atol=1e-4
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 30_000), st.integers(1, 20_000), st.integers(0, 2000))
def test_convolution_by_blocks_equals_that_of_the_whole(
    samples: int, length: int, lead: int
) -> None:
    waveform, taps = random(3, samples), random(3, length, seed=1) / length**0.5
    blocks = convolve_circularly(waveform, taps, lead)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "compiled", lambda _: False)
        whole = convolve_circularly(waveform, taps, lead)
    torch.testing.assert_close(blocks, whole, rtol=1e-3, atol=1e-3)


def test_cascade_is_one_filter_after_the_other() -> None:
    waveform, first, second = random(2, 500), random(2, 9, seed=1), random(2, 40, seed=2)
    one_by_one = convolve_circularly(convolve_circularly(waveform, first), second)
    together = convolve_circularly(waveform, cascade(first, second))
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-4)
