"""Random numbers by counting: distribution, whiteness, independence of the batch."""

import pytest
import torch
from scipy import stats

from ml.effects import noise
from ml.effects.noise import truncated_normal, uniform

SEEDS = torch.tensor([0, 1, 2, 12345, 2**61 + 7])


def test_uniform_follows_its_distribution() -> None:
    for numbers in uniform(SEEDS, 50_000, stream=0):
        assert 0 < numbers.min() < numbers.max() < 1
        assert stats.kstest(numbers.numpy(), "uniform").pvalue > 1e-4


def test_uniform_is_the_same_in_every_batch() -> None:
    together = uniform(SEEDS, 1000, stream=3)
    alone = torch.cat([uniform(seed[None], 1000, stream=3) for seed in SEEDS])
    assert torch.equal(together, alone)
    assert torch.equal(together[:, :10], uniform(SEEDS, 10, stream=3))


def test_uniform_differs_between_seeds_and_streams() -> None:
    numbers = torch.cat([uniform(SEEDS, 20_000, stream) for stream in range(3)])
    others = torch.corrcoef(numbers).fill_diagonal_(0)
    assert others.abs().max() < 5 / 20_000**0.5


def test_uniform_of_neighbouring_seeds_is_uniform_across_them() -> None:
    first = uniform(torch.arange(20_000), 1, stream=1)[:, 0]
    assert stats.kstest(first.numpy(), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("truncation", [0.5, 2.0, 3.0])
def test_truncated_normal_follows_its_distribution(truncation: float) -> None:
    numbers = truncated_normal(SEEDS, 50_000, 1, truncation)
    assert numbers.abs().max() <= truncation
    expected = stats.truncnorm(-truncation, truncation)
    for row in numbers:
        assert stats.kstest(row.numpy(), expected.cdf).pvalue > 1e-4


def test_truncated_normal_is_white() -> None:
    numbers = truncated_normal(SEEDS, 2**16, 1, 2.0)
    power = torch.fft.rfft(numbers).abs().square()[:, 1:-1]
    bands = power.unflatten(1, (-1, 1057)).mean(2) / power.mean(1, keepdim=True)
    assert (bands - 1).abs().max() < 6 / 1057**0.5


@pytest.mark.parametrize("truncation", [0.5, 2.0, 5.0])
def test_compiled_noise_is_that_of_torch(
    truncation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = truncated_normal(SEEDS, 100_000, 1, truncation)
    monkeypatch.setattr(noise, "compiled", lambda _: False)
    torch.testing.assert_close(
        compiled, truncated_normal(SEEDS, 100_000, 1, truncation), rtol=0, atol=2e-6
    )
