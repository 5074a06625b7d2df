"""The effects chain without its inverse transform: a clip in, the mel spectrogram of f(clip) out.

The encoder sees magnitudes of frames only, so nothing needs to be synthesised. Stretched time
reads its frames at other distances (what a phase vocoder does before it mends phases), shifted
pitch is weighed by mel filters that were moved the other way, and what is left is arithmetic on
the energies of the bands: a tilt multiplies them, echoes add their own past with an exponential
decay, noise adds its expected spectrum with its spread. Phases are lost on the way: energies of
sounds that overlap add up, where waveforms would interfere.

It takes the same parameters as `chain` and means the same by them; polarity and anything else that
a magnitude cannot show has no counterpart here.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from ml.effects.noise import truncated_normal
from ml.effects.parameters import EffectParameters
from ml.mel_frames import SparseFilters, sum_bands
from ml.routes import compiled
from ml.spectrogram import SpectrogramSettings, band_edges, mel_filters

STEPS_PER_SEMITONE = 8  # 12.5 cents, a quarter of the narrowest band's width
ECHO_FRAMES = 8  # half a second at the paper's hop: where an echo of RT60 1 s is 30 dB down
_NOISE_STREAM = 3  # of an example's random numbers; `ml.effects.chain` has those before it
_CHUNK = {"cpu": 8, "cuda": 512}
_TILT_CENTRE = 1000.0  # Hz


@torch.no_grad()
def mel_of_effects(
    waveform: Tensor,
    parameters: EffectParameters,
    samples: int,
    settings: SpectrogramSettings | None = None,
) -> Tensor:
    """Compute the mel spectrogram that a transformed clip would have.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, length), float32 at the settings' sample rate, on any device. Its middle is the
        middle of the clip, but for the time shift; what lies beyond its ends is read from its
        other end. See `ml.effects.chain.context_samples` for a length that is enough.
    parameters : EffectParameters
        Of the same B clips.
    samples : int
        Length of the transformed clip.
    settings : SpectrogramSettings, optional
        Of the encoder, the paper's by default.

    Returns
    -------
    Tensor
        Shape (B, n_mels, 1 + samples // hop), float32, zero or above. A clip for which every
        effect is off has the frames of `ml.spectrogram.mel_spectrogram`, but for those at the
        ends, which see what surrounds the clip instead of its mirror image.

    Raises
    ------
    ValueError
        If waveform and parameters do not belong together.
    """
    settings = settings or SpectrogramSettings()
    if waveform.ndim != 2 or len(waveform) != len(parameters):
        raise ValueError(
            f"waveform must be ({len(parameters)}, samples) for {len(parameters)} sets of "
            f"parameters, not {tuple(waveform.shape)}"
        )
    chunk = _CHUNK.get(waveform.device.type, 8)
    parts = (slice(first, first + chunk) for first in range(0, len(waveform), chunk))
    return torch.cat(
        [_transform(waveform[part], parameters.select(part), samples, settings) for part in parts]
    )


def _transform(
    waveform: Tensor, p: EffectParameters, samples: int, settings: SpectrogramSettings
) -> Tensor:
    device = waveform.device
    mel = _moved_bands(waveform, p, samples, settings)
    energy = mel.pow_(2 / settings.power) * _shape_spectrum(p, settings).to(device)[:, :, None]
    energy = energy @ _echoes(p, energy.shape[2], settings).to(device)
    energy += _noise(waveform, p, energy.shape[2], settings)
    energy *= (10 ** (p.gain_db.float() / 10)).to(device)[:, None, None]
    return energy.pow_(settings.power / 2)


def _moved_bands(
    waveform: Tensor, p: EffectParameters, samples: int, settings: SpectrogramSettings
) -> Tensor:
    """Bands of shifted pitch, in frames where the stretched clip has its own: (B, bands, frames).

    Before the clip's own frames come those that may echo.
    """
    length, device = waveform.shape[1], waveform.device
    place = torch.arange(-ECHO_FRAMES, 1 + samples // settings.hop) * settings.hop - samples / 2
    centre = length / 2 + p.shift[:, None] * settings.sample_rate + p.rate[:, None] * place
    first = (centre - settings.n_fft / 2).round().long() % length
    # Every possible frame is a stretch of the clip followed by its own beginning.
    around = torch.cat([waveform, waveform[:, : settings.n_fft]], 1).float()
    window = torch.hann_window(settings.n_fft, device=device)
    steps = (p.semitones * STEPS_PER_SEMITONE).round().long()
    # Half an octave serves nearly always; a bank that grows with every draw would be made often.
    half_octave = 6 * STEPS_PER_SEMITONE
    largest = half_octave * max(1, math.ceil(int(steps.abs().max()) / half_octave))
    bank = steps + largest
    if compiled(around):
        filters = _sparse_filter_bank(settings, largest)
        return sum_bands(around, first, window, filters, bank, power=settings.power)
    clip = torch.arange(len(waveform), device=device)[:, None]
    pieces = around.unfold(1, settings.n_fft, 1)[clip, first.to(device)]
    frames = torch.fft.rfft(pieces.mul_(window)).abs().pow_(settings.power)
    bands: Tensor = _filter_bank(settings, largest, device)[bank.to(device)] @ frames.mT
    return bands


@lru_cache(maxsize=4)
def _filter_bank(settings: SpectrogramSettings, largest: int, device: torch.device) -> Tensor:
    """Build the filters of every shift up to `largest` steps either way: (shifts, bands, bins)."""
    shifts = range(-largest, largest + 1)
    ratios = (2 ** (shift / STEPS_PER_SEMITONE / 12) for shift in shifts)
    return torch.stack([mel_filters(settings, ratio) for ratio in ratios]).to(device)


@lru_cache(maxsize=4)
def _sparse_filter_bank(settings: SpectrogramSettings, largest: int) -> SparseFilters:
    return SparseFilters.from_dense(_filter_bank(settings, largest, torch.device("cpu")))


def _shape_spectrum(p: EffectParameters, settings: SpectrogramSettings) -> Tensor:
    """Compute each band's gain in energy, (B, bands): tilt, and what a band limit leaves."""
    edges = band_edges(settings).float()
    decibels = p.tilt.float()[:, None] * torch.log2(edges[1:-1] / _TILT_CENTRE)
    width = edges[2:] - edges[:-2]
    left = ((p.lowpass.float()[:, None] - edges[:-2]) / width).clamp(0, 1)
    return left * 10 ** (decibels / 10)


def _echoes(p: EffectParameters, frames: int, settings: SpectrogramSettings) -> Tensor:
    """Matrices that add each frame's past and leave out the lead: (B, frames, frames - lead)."""
    step = settings.hop / settings.sample_rate
    fading = torch.where(p.decay > 0, 10 ** (-6 * step / p.decay.clamp(min=1e-3)), 0).float()
    wet = torch.where(p.decay > 0, 10 ** (p.wet_db / 10), 0).float() * (1 - fading)
    lag = torch.arange(ECHO_FRAMES, frames) - torch.arange(frames)[:, None]
    heard = (lag >= 0) & (lag <= ECHO_FRAMES)
    tail = wet[:, None, None] * fading[:, None, None] ** lag.clamp(min=0) * heard
    return tail + (lag == 0)


def _noise(
    waveform: Tensor, p: EffectParameters, frames: int, settings: SpectrogramSettings
) -> Tensor:
    """Energies of white noise, whose bins are Rayleigh distributed: (B, bands, frames)."""
    device = waveform.device
    level = waveform.float().square().mean(1).sqrt() * 10 ** (-p.snr_db.float().to(device) / 20)
    window = torch.hann_window(settings.n_fft, device=device)
    sigma = level * window.square().sum().sqrt() * _truncated_deviation(p.noise_truncation)
    mean, deviation = (math.sqrt(math.pi) / 2, math.sqrt(1 - math.pi / 4))
    if settings.power == 2:
        sigma, mean, deviation = sigma.square(), 1.0, 1.0
    filters = mel_filters(settings).to(device)
    spread = truncated_normal(
        p.seed.to(device), settings.n_mels * frames, _NOISE_STREAM, p.noise_truncation
    ).view(-1, settings.n_mels, frames)
    bands = mean * filters.sum(1)[:, None] + (
        deviation * filters.square().sum(1).sqrt()[:, None] * spread
    )
    return (sigma[:, None, None] * bands.clamp_(min=0)).pow_(2 / settings.power)


def _truncated_deviation(truncation: float) -> float:
    """Compute the standard deviation of a standard normal cut off at `truncation`."""
    inside = math.erf(truncation / math.sqrt(2))
    density = math.exp(-(truncation**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * truncation * density / inside)
