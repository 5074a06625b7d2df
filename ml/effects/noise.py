"""Random numbers by counting: example i gets the same ones in every batch and on every device.

A counter and the example's seed are scrambled by a 32-bit finaliser (multiply and xor-shift, the
``lowbias32`` constants of C. Wellons, https://nullprogram.com/blog/2018/07/31/), so numbers need
no generator state, and a whole batch of independent streams is a handful of tensor operations, or
one compiled loop.
"""

import math

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from ml.routes import compiled

_LOW_31_BITS = 0x7FFFFFFF
_ROOT_OF_HALF = np.int32(0x3F3504F3)  # as the bits of a float32
_GOLDEN = -1640531527  # 0x9E3779B9 as a signed number: neighbouring counters end up far apart


def uniform(seeds: Tensor, samples: int, stream: int) -> Tensor:
    """Draw independent uniform numbers in the open interval (0, 1), with 23 random bits.

    Parameters
    ----------
    seeds : Tensor
        Shape (B,), int64, from 0 to 2**62 - 1; one per example.
    samples : int
        How many numbers for each example.
    stream : int
        Different streams of one seed are independent.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.
    """
    counter = torch.arange(samples, dtype=torch.int32, device=seeds.device) * _GOLDEN
    bits = _scramble(counter + _first_counter(seeds, stream)[:, None])
    return bits.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF).float().add_(0.5).mul_(2.0**-23)


def truncated_normal(seeds: Tensor, samples: int, stream: int, truncation: float) -> Tensor:
    """Draw standard normal numbers within plus or minus `truncation`, by the inverse of their CDF.

    Parameters
    ----------
    seeds, samples, stream
        See `uniform`.
    truncation : float
        Largest magnitude, in standard deviations of the normal before truncation.

    Returns
    -------
    Tensor
        Shape (B, samples), float32; variance below 1 (0.774 at a truncation of 2).
    """
    inside = math.erf(truncation / math.sqrt(2))
    if compiled(seeds):
        numbers = torch.empty(len(seeds), samples)
        first = _first_counter(seeds, stream).numpy()
        _fill(first.view(np.uint32), 2 * inside, truncation, numbers.numpy())
        return numbers
    centred = uniform(seeds, samples, stream).sub_(0.5).mul_(2 * inside)
    return centred.erfinv_().mul_(math.sqrt(2)).clamp_(-truncation, truncation)


def _first_counter(seeds: Tensor, stream: int) -> Tensor:
    low = (seeds & _LOW_31_BITS).to(torch.int32)
    high = (seeds >> 31).to(torch.int32)
    return _scramble(_scramble(high + stream * 7919) ^ low)


def _scramble(bits: Tensor) -> Tensor:
    # Signed shifts drag the sign along: the masks make them logical.
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    bits *= 0x7FEB352D
    bits ^= (bits >> 15) & 0x1FFFF
    bits *= -2073254261  # 0x846CA68B
    bits ^= (bits >> 16) & 0xFFFF
    return bits


@njit(nogil=True, cache=True, fastmath=True)
def _fill(
    first: NDArray[np.uint32], width: float, truncation: float, numbers: NDArray[np.float32]
) -> None:
    """Write truncated normal numbers, as the functions above would draw them."""
    scale, end = np.float32(width), np.float32(truncation)
    logs = np.empty(numbers.shape[1], np.float32)
    for example in range(len(numbers)):
        row = numbers[example]
        for n in range(len(row)):
            bits = np.uint32(np.uint32(n) * np.uint32(0x9E3779B9) + first[example])
            bits = np.uint32((bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D))
            bits = np.uint32((bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B))
            bits = np.uint32((bits ^ (bits >> np.uint32(16))) >> np.uint32(9))
            centred = np.float32(np.int32(bits)) + np.float32(0.5 - 2**22)
            row[n] = centred * np.float32(2.0**-23) * scale
        for n in range(len(row)):  # in a loop of its own, it becomes vector operations
            logs[n] = _log((np.float32(1) - row[n]) * (np.float32(1) + row[n]))
        for n in range(len(row)):
            normal = _inverse_erf(row[n], -logs[n]) * np.float32(2**0.5)
            row[n] = min(max(normal, -end), end)


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _log(x: np.float32) -> np.float32:
    """Take a logarithm to single precision without a call, which a loop would have to wait for."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT_OF_HALF) >> np.int32(23))
    mantissa = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32)
    # log m = 2 artanh((m - 1) / (m + 1)); from the root of 1/2 to that of 2, four terms are enough.
    t = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
    s = t * t
    series = np.float32(1 / 5) + s * np.float32(1 / 7)
    series = np.float32(1) + s * (np.float32(1 / 3) + s * series)
    return np.float32(exponent) * np.float32(math.log(2)) + np.float32(2) * t * series


@njit(nogil=True, cache=True, fastmath=True, inline="always")
def _inverse_erf(x: np.float32, w: np.float32) -> np.float32:
    """Solve erf(y) = x, given w = -log(1 - x^2): M. Giles 2010, "Approximating erfinv"."""
    a = w - np.float32(2.5)
    p = np.float32(2.81022636e-08)
    p = np.float32(3.43273939e-07) + p * a
    p = np.float32(-3.5233877e-06) + p * a
    p = np.float32(-4.39150654e-06) + p * a
    p = np.float32(0.00021858087) + p * a
    p = np.float32(-0.00125372503) + p * a
    p = np.float32(-0.00417768164) + p * a
    p = np.float32(0.246640727) + p * a
    p = np.float32(1.50140941) + p * a
    b = np.sqrt(w) - np.float32(3)
    q = np.float32(-0.000200214257)
    q = np.float32(0.000100950558) + q * b
    q = np.float32(0.00134934322) + q * b
    q = np.float32(-0.00367342844) + q * b
    q = np.float32(0.00573950773) + q * b
    q = np.float32(-0.0076224613) + q * b
    q = np.float32(0.00943887047) + q * b
    q = np.float32(1.00167406) + q * b
    q = np.float32(2.83297682) + q * b
    return x * (p if w < np.float32(5) else q)
