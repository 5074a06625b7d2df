"""Random numbers by counting: example i gets the same ones in every batch and on every device.

A counter and the example's seed are scrambled by a 32-bit finaliser (multiply and xor-shift, the
``lowbias32`` constants of C. Wellons, https://nullprogram.com/blog/2018/07/31/), so numbers need
no generator state, and a whole batch of independent streams is a handful of tensor operations.
"""

import math

import torch
from torch import Tensor

_LOW_31_BITS = 0x7FFFFFFF
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
    low = (seeds & _LOW_31_BITS).to(torch.int32)
    high = (seeds >> 31).to(torch.int32)
    start = _scramble(_scramble(high + stream * 7919) ^ low)
    counter = torch.arange(samples, dtype=torch.int32, device=seeds.device) * _GOLDEN
    bits = _scramble(counter + start[:, None])
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
    centred = uniform(seeds, samples, stream).sub_(0.5).mul_(2 * inside)
    return centred.erfinv_().mul_(math.sqrt(2)).clamp_(-truncation, truncation)


def _scramble(bits: Tensor) -> Tensor:
    # Signed shifts drag the sign along: the masks make them logical.
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    bits *= 0x7FEB352D
    bits ^= (bits >> 15) & 0x1FFFF
    bits *= -2073254261  # 0x846CA68B
    bits ^= (bits >> 16) & 0xFFFF
    return bits
