"""The phase-locked vocoder's frames on a CPU: cut, turned and added by compiled kernels.

`vocoder` explains the algorithm and has the same steps in torch. Here a few frames of all
examples go from the input to the output at a time, so that everything between lies in the cache;
only the Fourier transforms are torch's.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Float32 = NDArray[np.float32]
Complex64 = NDArray[np.complex64]
Int64 = NDArray[np.int64]

# A click at -240 dB: silence has a phase as well, so that sound starts again after it.
INAUDIBLE = np.float32(1e-12)
_TINY = np.float32(1e-37)  # keeps a reciprocal finite, and changes no other number
_ONE = np.float32(1)
_FRAMES_IN_CACHE = 64


def lock_frames(
    waveform: Tensor, first: Tensor, passed: Tensor, window: Tensor, hop: int
) -> Tensor:
    """Add up phase-locked frames of each example, `hop` samples apart.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, length), float32, on the CPU; read as if it were repeated.
    first : Tensor
        Shape (frames, B), int64: first input sample of each frame.
    passed : Tensor
        Shape (B,), int64: the bins above this one are left out.
    window : Tensor
        Shape (N,), float32, applied before and after; N is a multiple of `hop`.
    hop : int
        Samples between output frames, and to the input frame that phases are compared with.

    Returns
    -------
    Tensor
        Shape (B, (frames - 1) hop + N), float32.
    """
    size, (frames, batch) = len(window), first.shape
    sound, shape = waveform.contiguous().numpy(), window.numpy()
    output = np.zeros((batch, (frames - 1) * hop + size), np.float32)
    block = min(frames, max(1, _FRAMES_IN_CACHE // batch))
    # Written again and again: memory that is asked for anew comes page by page from the system.
    pieces = torch.empty(2, block, batch, size)
    spectra = torch.empty(2, block, batch, size // 2 + 1, dtype=torch.complex64)
    previous: Complex64 | None = None
    for start in range(0, frames, block):
        part = first[start : start + block].numpy()
        if len(part) < block:
            pieces = torch.empty(2, len(part), batch, size)
            spectra = torch.empty(2, len(part), batch, size // 2 + 1, dtype=torch.complex64)
        _cut(sound, part, shape, hop, pieces.numpy())
        torch.fft.rfft(pieces, out=spectra)
        now, before = spectra[0].numpy(), spectra[1].numpy()
        if previous is None:
            previous = now[0].copy()
            _turn(now[1:], before[1:], previous)
        else:
            _turn(now, before, previous)
        _leave_out(now, passed.numpy())
        torch.fft.irfft(spectra[0], size, out=pieces[0])
        _add(pieces[0].numpy(), shape, output, start, hop)
    return torch.from_numpy(output)


@njit(nogil=True, cache=True, fastmath=True)
def _cut(sound: Float32, first: Int64, window: Float32, hop: int, pieces: Float32) -> None:
    """Write windowed frames at `first`, and one hop before, into (2, frames, B, N)."""
    length, size = sound.shape[1], len(window)
    for back in range(2):
        for frame in range(first.shape[0]):
            for example in range(first.shape[1]):
                start = first[frame, example] - back * hop
                piece = pieces[back, frame, example]
                if start >= 0 and start + size <= length:
                    inside = sound[example, start : start + size]
                    for i in range(size):
                        piece[i] = inside[i] * window[i]
                else:
                    for i in range(size):
                        piece[i] = sound[example, (start + i) % length] * window[i]
                piece[size // 2] += INAUDIBLE


# Not all of fastmath: it would take one root of the product of two squares, which leaves the range
# of float32 in silence.
@njit(nogil=True, cache=True, fastmath={"contract", "arcp", "nsz"}, error_model="numpy")
def _turn(now: Complex64, before: Complex64, previous: Complex64) -> None:
    """Give the frames (frames, B, bins) the phases that follow `previous` (B, bins), in place."""
    bins = now.shape[2]
    last = bins - 1
    real, imag = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for example in range(now.shape[1]):
        old = previous[example]
        for frame in range(now.shape[0]):
            new, past = now[frame, example], before[frame, example]
            real[0], imag[0] = old[0].real - old[1].real, old[0].imag - old[1].imag
            for k in range(1, last):
                real[k] = old[k].real - old[k - 1].real - old[k + 1].real
                imag[k] = old[k].imag - old[k - 1].imag - old[k + 1].imag
            real[last] = old[last].real - old[last - 1].real
            imag[last] = old[last].imag - old[last - 1].imag
            for k in range(bins):
                a, b = past[k].real, past[k].imag
                scale = _ONE / (
                    np.sqrt(a * a + b * b + _TINY)
                    * np.sqrt(real[k] * real[k] + imag[k] * imag[k] + _TINY)
                )
                c = (new[k].real * a + new[k].imag * b) * scale
                d = (new[k].imag * a - new[k].real * b) * scale
                old[k] = complex(c * real[k] - d * imag[k], c * imag[k] + d * real[k])
            for k in range(bins):
                new[k] = old[k]


@njit(nogil=True, cache=True)
def _leave_out(spectra: Complex64, passed: Int64) -> None:
    for example in range(spectra.shape[1]):
        spectra[:, example, passed[example] + 1 :] = 0


@njit(nogil=True, cache=True, fastmath=True)
def _add(pieces: Float32, window: Float32, output: Float32, start: int, hop: int) -> None:
    for example in range(pieces.shape[1]):
        for frame in range(pieces.shape[0]):
            piece = pieces[frame, example]
            place = (start + frame) * hop
            target = output[example, place : place + len(window)]
            for i in range(len(window)):
                target[i] += piece[i] * window[i]
