"""Filtering of sounds that are heard as if they were repeated, with filters of their own.

A dry start and a lost end would give a transformed clip away, so the convolution is circular. On a
CPU it goes block by block (overlap-save with a partitioned filter: T. G. Stockham 1966, "High-speed
convolution and correlation"): blocks that lie in the cache are transformed many times faster than
a clip of ten seconds at once.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from ml.routes import compiled

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]

_BLOCK = 2048  # samples that one product gives


def convolve_circularly(waveform: Tensor, taps: Tensor, lead: int = 0) -> Tensor:
    """Filter each sound: output n is the sum over k of ``taps[k] * waveform[n + lead - k]``.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, samples), float32; positions beyond its ends are read from its other end.
    taps : Tensor
        Shape (B, length), float32.
    lead : int
        The tap that is the present.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.
    """
    if compiled(waveform):
        return _convolve_by_blocks(waveform, taps, lead)
    samples, past = waveform.shape[1], taps.shape[1]
    repeated = torch.arange(lead - past, lead + samples, device=waveform.device) % samples
    length = next_fast_len(past + samples, real=True)  # what wraps around falls on the past
    spectrum = torch.fft.rfft(waveform.index_select(1, repeated), length)
    output: Tensor = torch.fft.irfft(spectrum.mul_(torch.fft.rfft(taps, length)), length)
    return output[:, past : past + samples]


def cascade(first: Tensor, second: Tensor) -> Tensor:
    """Join two filters of each example into one: (B, n) and (B, m) give (B, n + m - 1)."""
    taps = first.shape[1] + second.shape[1] - 1
    length = next_fast_len(taps, real=True)
    product = torch.fft.rfft(first, length).mul_(torch.fft.rfft(second, length))
    output: Tensor = torch.fft.irfft(product, length)
    return output[:, :taps]


def _convolve_by_blocks(waveform: Tensor, taps: Tensor, lead: int) -> Tensor:
    batch, samples = waveform.shape
    parts, blocks = -(-taps.shape[1] // _BLOCK), -(-samples // _BLOCK)
    padded = torch.nn.functional.pad(taps, (0, parts * _BLOCK - taps.shape[1]))
    filters = torch.fft.rfft(padded.view(batch, parts, _BLOCK), 2 * _BLOCK)
    pieces = torch.empty(batch, parts + blocks - 1, 2 * _BLOCK)
    _cut(waveform.contiguous().numpy(), lead - parts * _BLOCK, pieces.numpy())
    spectra = torch.fft.rfft(pieces)
    products = torch.empty(batch, blocks, _BLOCK + 1, dtype=torch.complex64)
    _multiply(spectra.numpy(), filters.numpy(), products.numpy())
    output: Tensor = torch.fft.irfft(products, 2 * _BLOCK)
    return output[:, :, _BLOCK:].flatten(1)[:, :samples]


@njit(nogil=True, cache=True)
def _cut(sound: Float32, start: int, pieces: Float32) -> None:
    """Write overlapping halves into (B, pieces, 2 _BLOCK), the first from `start` on."""
    length, size = sound.shape[1], pieces.shape[2]
    for example in range(len(sound)):
        for piece in range(pieces.shape[1]):
            first = start + piece * (size // 2)
            row = pieces[example, piece]
            if first >= 0 and first + size <= length:
                row[:] = sound[example, first : first + size]
            else:
                for i in range(size):
                    row[i] = sound[example, (first + i) % length]


@njit(nogil=True, cache=True, fastmath=True)
def _multiply(spectra: Complex64, filters: Complex64, products: Complex64) -> None:
    """Sum over the parts of a filter, each with the block that lies as far back as it does."""
    parts = filters.shape[1]
    for example in range(len(products)):
        for block in range(products.shape[1]):
            total = products[example, block]
            total[:] = 0
            for part in range(parts):
                sound, taps = spectra[example, block + parts - 1 - part], filters[example, part]
                for k in range(len(total)):
                    total[k] += sound[k] * taps[k]
