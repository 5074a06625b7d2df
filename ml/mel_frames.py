"""Mel bands of frames on a CPU, cut and summed by compiled kernels.

Of a triangular filter nearly every weight is zero, and a product of matrices multiplies them all.
Here a few frames at a time go from the sound to their bands, so that the spectra between lie in the
cache; only the Fourier transform is torch's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Int64 = NDArray[np.int64]

_FRAMES_IN_CACHE = 64


@dataclass(frozen=True)
class SparseFilters:
    """Banks of filters, each with the bins that it does not ignore.

    Parameters
    ----------
    weights : numpy.ndarray [shape=(banks, bands, bins)]
        float32.
    begin, end : numpy.ndarray [shape=(banks, bands)]
        int64: first bin of each band that counts, and the one after the last.
    """

    weights: Float32
    begin: Int64
    end: Int64

    @classmethod
    def from_dense(cls, banks: Tensor) -> "SparseFilters":
        """Find what counts in banks of filters, (banks, bands, bins)."""
        weights = banks.numpy()
        counts = weights != 0
        heard = counts.any(axis=2)
        begin = np.where(heard, counts.argmax(axis=2), 0)
        end = np.where(heard, weights.shape[2] - counts[..., ::-1].argmax(axis=2), 0)
        return cls(weights, begin, end)


def sum_bands(
    sound: Tensor,
    first: Tensor,
    window: Tensor,
    filters: SparseFilters,
    bank: Tensor | None = None,
    *,
    power: int,
) -> Tensor:
    """Sum the magnitudes, or powers, of windowed frames into bands.

    Parameters
    ----------
    sound : Tensor
        Shape (B, length), float32, on the CPU.
    first : Tensor
        Shape (B, frames), int64: first sample of each frame, all of whose samples there are.
    window : Tensor
        Shape (N,), float32.
    filters : SparseFilters
        Of N // 2 + 1 bins.
    bank : Tensor, optional
        Shape (B,), int64: the bank of each sound; the first unless given.
    power : {1, 2}
        1 sums magnitudes, 2 powers.

    Returns
    -------
    Tensor
        Shape (B, bands, frames), float32.

    Raises
    ------
    ValueError
        If a frame begins before its sound, or ends behind it.
    """
    (batch, frames), size, bands = first.shape, len(window), filters.weights.shape[1]
    if first.numel() and (int(first.min()) < 0 or int(first.max()) + size > sound.shape[1]):
        raise ValueError(f"frames must lie within the {sound.shape[1]} samples of their sound")
    banks = np.zeros(batch, np.int64) if bank is None else bank.numpy()
    samples, starts, shape = sound.contiguous().numpy(), first.numpy().ravel(), window.numpy()
    output = np.empty((batch * frames, bands), np.float32)
    # Written again and again: memory that is asked for anew comes page by page from the system.
    pieces = torch.empty(_FRAMES_IN_CACHE, size)
    spectra = torch.empty(_FRAMES_IN_CACHE, size // 2 + 1, dtype=torch.complex64)
    for begin in range(0, len(starts), _FRAMES_IN_CACHE):
        part = starts[begin : begin + _FRAMES_IN_CACHE]
        example = np.arange(begin, begin + len(part)) // frames
        block, spectrum = pieces[: len(part)], spectra[: len(part)]
        _cut(samples, example, part, shape, block.numpy())
        torch.fft.rfft(block, out=spectrum)
        _sum(
            spectrum.numpy(),
            banks[example],
            filters.weights,
            filters.begin,
            filters.end,
            power,
            output[begin : begin + len(part)],
        )
    return torch.from_numpy(output).view(batch, frames, bands).transpose(1, 2)


@njit(nogil=True, cache=True, fastmath=True)
def _cut(sound: Float32, example: Int64, first: Int64, window: Float32, pieces: Float32) -> None:
    size = len(window)
    for row in range(len(first)):
        inside = sound[example[row], first[row] : first[row] + size]
        piece = pieces[row]
        for i in range(size):
            piece[i] = inside[i] * window[i]


@njit(nogil=True, cache=True, fastmath=True)
def _sum(
    spectra: Complex64,
    bank: Int64,
    weights: Float32,
    begin: Int64,
    end: Int64,
    power: int,
    output: Float32,
) -> None:
    bins = spectra.shape[1]
    heard = np.empty(bins, np.float32)
    for row in range(len(spectra)):
        spectrum, own = spectra[row], bank[row]
        for k in range(bins):
            heard[k] = spectrum[k].real * spectrum[k].real + spectrum[k].imag * spectrum[k].imag
        if power == 1:
            for k in range(bins):
                heard[k] = np.sqrt(heard[k])
        for band in range(output.shape[1]):
            triangle, total = weights[own, band], np.float32(0)
            for k in range(begin[own, band], end[own, band]):
                total += triangle[k] * heard[k]
            output[row, band] = total
