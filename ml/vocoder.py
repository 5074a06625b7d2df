"""A phase-locked vocoder: duration and pitch change apart, at rates of their own per example.

Each output frame takes the magnitudes of an input frame, and turns the phases of the output frame
before it by as much as the input turned in one hop, which is read off a second input frame exactly
one hop earlier: as both hops are equal, nothing has to be unwrapped and complex products do. The
phases of each peak and its neighbours are locked by adding the neighbours before turning
(M. Puckette 1995, "Phase-locked vocoder"); without that the sound loses 3 to 4 dB and its attack.
"""

import torch
from torch import Tensor

from ml.interpolation import LEAD, interpolate, span

N_FFT = 2048  # samples
HOP = N_FFT // 4  # samples; Hann windows, applied twice, then add up to a constant
_OVERLAP = N_FFT // HOP
_HANN_SQUARED_SUM = 1.5  # of windows a quarter apart
_FRAMES_IN_CACHE = 128  # frames, of all examples together, that are transformed at a time
# A click at -240 dB: silence has a phase as well, so that sound starts again after it.
_INAUDIBLE = 1e-12


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
    device = waveform.device
    frames = -(-samples // HOP) + _OVERLAP - 1
    # Frames that start before the first sample let it be covered as often as all others.
    centre = torch.arange(frames)[:, None] * HOP - (N_FFT - HOP) + N_FFT // 2
    now = (start.cpu().double() + centre * speed.cpu().double()).round().long() - N_FFT // 2
    waveform, now = _unroll(waveform, now)
    views = waveform.unfold(1, N_FFT, 1)
    window = torch.hann_window(N_FFT, device=device)
    passed = torch.arange(N_FFT // 2 + 1, device=device) <= cutoff.to(device)[:, None] * N_FFT // 2
    synthesis = window / _HANN_SQUARED_SUM
    now, example = now.to(device), torch.arange(len(waveform), device=device)
    output = waveform.new_zeros(frames + _OVERLAP - 1, len(waveform), HOP)
    previous: Tensor | None = None
    block = frames if device.type == "cuda" else max(1, _FRAMES_IN_CACHE // len(waveform))
    for first in range(0, frames, block):
        spectra = _analyse(views, example, now[first : first + block], window)
        locked = _lock_phases(spectra[0], spectra[1], previous)
        previous = locked[-1].clone()
        pieces = torch.fft.irfft(locked.mul_(passed), N_FFT).mul_(synthesis)
        for quarter in range(_OVERLAP):
            part = pieces[..., quarter * HOP : (quarter + 1) * HOP]
            output[first + quarter : first + quarter + len(part)] += part
    usable = output[_OVERLAP - 1 :].transpose(0, 1).flatten(1)
    return usable[:, :samples]


def _unroll(waveform: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat the waveform around its ends so far as frames reach beyond them."""
    low, high = int(now.min()) - HOP, int(now.max()) + N_FFT
    if low >= 0 and high <= waveform.shape[1]:
        return waveform[:, low:high], now - low
    inside = torch.arange(low, high, device=waveform.device) % waveform.shape[1]
    return waveform.index_select(1, inside), now - low


def _analyse(views: Tensor, example: Tensor, now: Tensor, window: Tensor) -> Tensor:
    """Spectra at the positions `now` (frames, B) and one hop before: (2, frames, B, bins)."""
    pieces = views[example, torch.stack([now, now - HOP])]
    pieces.mul_(window)[..., N_FFT // 2] += _INAUDIBLE
    spectra: Tensor = torch.fft.rfft(pieces)
    return spectra


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
