"""A phase-locked vocoder: duration and pitch change apart, at rates of their own per example.

Each output frame takes the magnitudes of an input frame, and turns the phases of the output frame
before it by as much as the input turned in one hop, which is read off a second input frame exactly
one hop earlier: as both hops are equal, nothing has to be unwrapped and complex products do. The
phases of each peak and its neighbours are locked by adding the neighbours before turning
(M. Puckette 1995, "Phase-locked vocoder"); without that the sound loses 3 to 4 dB and its attack.
"""

import torch
from torch import Tensor

from ml.effects.interpolation import LEAD, interpolate, span
from ml.effects.phase_locking import INAUDIBLE, lock_frames
from ml.routes import compiled

N_FFT = 2048  # samples
HOP = N_FFT // 4  # samples; Hann windows, applied twice, then add up to a constant
_OVERLAP = N_FFT // HOP
_HANN_SQUARED_SUM = 1.5  # of windows a quarter apart
_FRAMES_IN_MEMORY = 512  # of each example, that a GPU transforms at a time: those of 16 s


def change_rate_and_pitch(
    waveform: Tensor, start: Tensor, rate: Tensor, ratio: Tensor, samples: int
) -> Tensor:
    """Play from `start` at another speed and another pitch.

    Stretching by ``rate / ratio`` and then resampling by ``ratio`` does both with one vocoder.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, length), float32.
    start : Tensor
        Shape (B,), position of the first output sample in the input, in samples.
    rate : Tensor
        Shape (B,), input samples per output sample: above 1 is faster.
    ratio : Tensor
        Shape (B,), output frequency over input frequency: above 1 is higher.
    samples : int
        Length of the output.

    Returns
    -------
    Tensor
        Shape (B, samples), float32. Where the input ends, it is read from its other end.
    """
    speed = rate / ratio
    length = span(float(ratio.max()), samples)
    stretched = stretch(waveform, start - LEAD * speed, speed, length, (1 / ratio).clamp(max=1))
    return interpolate(stretched, ratio, samples)


def stretch(waveform: Tensor, start: Tensor, speed: Tensor, samples: int, cutoff: Tensor) -> Tensor:
    """Change the duration and keep the pitch: output m sounds as the input around start + m speed.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, length), float32.
    start, speed : Tensor
        Shape (B,), in input samples, and in input samples per output sample.
    samples : int
        Length of the output.
    cutoff : Tensor
        Shape (B,), fraction of the Nyquist frequency above which nothing is let through.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.
    """
    frames = -(-samples // HOP) + _OVERLAP - 1
    # Frames that start before the first sample let it be covered as often as all others.
    centre = torch.arange(frames)[:, None] * HOP - (N_FFT - HOP) + N_FFT // 2
    first = (start.cpu().double() + centre * speed.cpu().double()).round().long() - N_FFT // 2
    passed = (cutoff.cpu() * N_FFT // 2).long()
    lock = lock_frames if compiled(waveform) else _lock_frames
    window = torch.hann_window(N_FFT, device=waveform.device).div_(_HANN_SQUARED_SUM**0.5)
    return lock(waveform, first, passed, window, HOP)[:, N_FFT - HOP :][:, :samples]


def _lock_frames(
    waveform: Tensor, first: Tensor, passed: Tensor, window: Tensor, hop: int
) -> Tensor:
    """Do in torch what `ml.effects.phase_locking.lock_frames` does."""
    device, (frames, batch), size = waveform.device, first.shape, len(window)
    waveform, first = _unroll(waveform, first, size, hop)
    views, example = waveform.unfold(1, size, 1), torch.arange(batch, device=device)
    bins = torch.arange(size // 2 + 1, device=device) <= passed.to(device)[:, None]
    first, overlap = first.to(device), size // hop
    output = waveform.new_zeros(frames + overlap - 1, batch, hop)
    previous: Tensor | None = None
    for start in range(0, frames, _FRAMES_IN_MEMORY):
        now = first[start : start + _FRAMES_IN_MEMORY]
        pieces = views[example, torch.stack([now, now - hop])]
        pieces.mul_(window)[..., size // 2] += float(INAUDIBLE)
        spectra = torch.fft.rfft(pieces)
        locked = _lock_phases(spectra[0], spectra[1], previous)
        previous = locked[-1].clone()
        pieces = torch.fft.irfft(locked.mul_(bins), size).mul_(window)
        for place in range(overlap):
            part = pieces[..., place * hop : (place + 1) * hop]
            output[start + place : start + place + len(part)] += part
    return output.transpose(0, 1).flatten(1)


def _unroll(waveform: Tensor, first: Tensor, size: int, hop: int) -> tuple[Tensor, Tensor]:
    """Repeat the waveform around its ends so far as frames reach beyond them."""
    low, high = int(first.min()) - hop, int(first.max()) + size
    if low >= 0 and high <= waveform.shape[1]:
        return waveform[:, low:high], first - low
    inside = torch.arange(low, high, device=waveform.device) % waveform.shape[1]
    return waveform.index_select(1, inside), first - low


def _lock_phases(now: Tensor, before: Tensor, previous: Tensor | None) -> Tensor:
    """Magnitudes of `now`, phases of `previous` turned as from `before` to `now`.

    Neighbouring bins of one peak have opposite signs, because the window starts, rather than is
    centred, at time zero: so neighbours are subtracted.
    """
    turned = torch.sgn(before).conj_physical_().mul_(now)
    if previous is None:
        turned[0] = previous = now[0]
    else:
        _turn(turned[0], previous)
    for frame in range(1, len(turned)):
        _turn(turned[frame], turned[frame - 1])
    return turned


def _turn(turned: Tensor, previous: Tensor) -> None:
    locked = previous.clone()
    locked[:, 1:] -= previous[:, :-1]
    locked[:, :-1] -= previous[:, 1:]
    turned.mul_(locked.sgn_())
