"""Band-limited reading of a signal between its samples, at a speed of its own for each example.

A 16-tap windowed sinc in Farrow form (C. W. Farrow 1988, "A continuously variable digital delay
element"): every tap is a polynomial in the fractional position, so the signal is filtered once per
power on its own grid and only those few results are gathered for each output sample. The compiled
route evaluates the same polynomials sample by sample: they fit into the registers of a CPU.
"""

from functools import lru_cache

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from ml.routes import compiled

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TAPS = 16
LEAD = TAPS // 2 - 1  # samples needed before the first one that is read
_DEGREE = 5
_BLOCK = 16  # output positions per matrix product
_KAISER_BETA = 6.0


def interpolate(signal: Tensor, step: Tensor, samples: int) -> Tensor:
    """Read each signal at the positions ``LEAD + n * step``.

    A step above 1 plays faster and higher; what would alias must have been filtered out before.

    Parameters
    ----------
    signal : Tensor
        Shape (B, length), float32.
    step : Tensor
        Shape (B,), in samples of `signal` per sample of output.
    samples : int
        Length of the output; ``span(largest step, samples)`` samples of `signal` are needed.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.

    Raises
    ------
    ValueError
        If the signal is too short.
    """
    needed = span(float(step.max()), samples)
    if signal.shape[1] < needed:
        raise ValueError(f"signal must have {needed} samples, not {signal.shape[1]}")
    output = signal.new_empty(len(signal), samples)
    # Single precision would misplace the end of a 10 s clip by a hundredth of a sample.
    speed = step.to(signal.device, torch.float64)
    if compiled(signal):
        _read(signal.contiguous().numpy(), speed.numpy(), _coefficients(), output.numpy())
    else:
        time = torch.arange(samples, device=signal.device).double()
        _evaluate(_filter_by_power(signal), time * speed[:, None], output)
    return output


def span(step: float, samples: int) -> int:
    """Length of signal that `interpolate` needs to read `samples` samples at `step`."""
    return int(step * max(samples - 1, 0)) + TAPS + _BLOCK


@njit(nogil=True, cache=True, fastmath=True)
def _read(signal: Float32, step: Float64, taps: Float32, output: Float32) -> None:
    """Do for each sample what `_evaluate` does for each power; `taps` is (powers, TAPS)."""
    for example in range(len(signal)):
        for n in range(output.shape[1]):
            position = n * step[example]
            whole = int(position)
            x = np.float32(position - whole - 0.5)
            near = signal[example, whole : whole + TAPS]
            total = np.float32(0)
            for j in range(TAPS):  # they become one vector
                tap = (taps[5, j] * x + taps[4, j]) * x + taps[3, j]
                total += (((tap * x + taps[2, j]) * x + taps[1, j]) * x + taps[0, j]) * near[j]
            output[example, n] = total


@lru_cache(maxsize=1)
def _coefficients() -> Float32:
    return np.ascontiguousarray(_tap_polynomials().T, dtype=np.float32)


def _evaluate(filtered: Tensor, position: Tensor, output: Tensor) -> None:
    """Write into `output` (B, samples) the polynomials of the positions, by Horner's rule."""
    whole = position.long()
    fraction = position.sub_(whole).sub_(0.5).float()
    row = torch.arange(len(filtered), device=filtered.device)[:, None] * filtered.shape[1]
    powers = filtered.flatten(0, 1).index_select(0, (whole + row).flatten())
    powers = powers.view(*fraction.shape, _DEGREE + 1)
    output.copy_(powers[..., _DEGREE])
    for power in reversed(range(_DEGREE)):
        output.mul_(fraction).add_(powers[..., power])


def _filter_by_power(signal: Tensor) -> Tensor:
    """Correlate (B, length) with each column of the polynomials: (B, length', powers)."""
    blocks = signal.unfold(1, _BLOCK + TAPS - 1, _BLOCK)
    toeplitz = _toeplitz().to(signal.device)
    return (blocks @ toeplitz).view(len(signal), -1, _DEGREE + 1)


@lru_cache(maxsize=1)
def _toeplitz() -> Tensor:
    """Lay the filters of neighbouring positions side by side: one matrix product does all."""
    taps = _tap_polynomials()
    matrix = np.zeros((_BLOCK + TAPS - 1, _BLOCK, _DEGREE + 1), dtype=np.float32)
    for position in range(_BLOCK):
        matrix[position : position + TAPS, position] = taps
    return torch.from_numpy(matrix.reshape(len(matrix), -1))


def _tap_polynomials() -> Float64:
    """Coefficients of each tap in powers of (fraction - 1/2): (TAPS, _DEGREE + 1)."""
    fraction = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 65))
    distance = fraction[:, None] - (np.arange(TAPS) - LEAD)
    window = np.i0(_KAISER_BETA * np.sqrt(1 - np.clip(distance / (TAPS / 2), -1, 1) ** 2))
    kernel = np.sinc(distance) * window
    kernel /= kernel.sum(1, keepdims=True)  # a constant stays constant
    basis = np.vander(fraction - 0.5, _DEGREE + 1, increasing=True)
    return np.asarray(np.linalg.lstsq(basis, kernel, rcond=None)[0].T, dtype=np.float64)
