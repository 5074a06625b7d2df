"""The mel front end: waveform in, log mel image out (paper, section 2.2).

A short-time Fourier transform with a periodic Hann window, magnitudes (or powers) summed by
triangular filters that are equally spaced on the HTK mel scale, a logarithm, standardisation of
every band by batch normalisation, and a convolution that turns one channel into three.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.mel_frames import SparseFilters, sum_bands
from ml.routes import compiled


@dataclass(frozen=True)
class SpectrogramSettings:
    """How sound becomes an image; the defaults are the paper's.

    Parameters
    ----------
    sample_rate : int
        Hz.
    n_fft : int
        Length of the window and of the transform, in samples.
    hop : int
        Distance between frames, in samples; 1024 is 50 % overlap.
    n_mels : int
        Number of mel bands.
    f_min, f_max : float
        Edges of the lowest and of the highest band, in Hz; None is the Nyquist frequency.
    power : {1, 2}
        1 sums magnitudes (the paper), 2 sums powers.
    floor : float
        Added to each band before the logarithm. A sine of amplitude 1 reaches about 500 in
        magnitude (250,000 in power), so 1e-3 lies 114 dB (84 dB) below full scale.
    """

    sample_rate: int = 16_000
    n_fft: int = 2048
    hop: int = 1024
    n_mels: int = 128
    f_min: float = 20.0
    f_max: float | None = None
    power: Literal[1, 2] = 1
    floor: float = 1e-3

    def __post_init__(self) -> None:
        top = self.sample_rate / 2 if self.f_max is None else self.f_max
        if not 0 <= self.f_min < top <= self.sample_rate / 2:
            raise ValueError(f"choose 0 <= f_min < f_max <= {self.sample_rate / 2:g} Hz")
        if not 0 < self.hop <= self.n_fft:
            raise ValueError(f"choose a hop from 1 to n_fft ({self.n_fft}), not {self.hop}")
        if self.power not in (1, 2):
            raise ValueError(f"power must be 1 or 2, not {self.power}")
        if self.floor <= 0:
            raise ValueError(f"floor must be above zero, not {self.floor}")


def band_edges(settings: SpectrogramSettings) -> Tensor:
    """Frequencies where bands begin, peak and end: (n_mels + 2,) float64, in Hz.

    Band m rises from edge m to edge m + 1 and falls to edge m + 2.
    """
    limits = torch.tensor(
        [settings.f_min, settings.f_max or settings.sample_rate / 2], dtype=torch.float64
    )
    low, high = (2595 * torch.log10(1 + limits / 700)).tolist()
    mels = torch.linspace(low, high, settings.n_mels + 2, dtype=torch.float64)
    return 700 * (10 ** (mels / 2595) - 1)


@lru_cache(maxsize=8)
def mel_filters(settings: SpectrogramSettings, ratio: float = 1.0) -> Tensor:
    """Triangles of unit height, equally spaced on the HTK mel scale.

    ``mel(f) = 2595 log10(1 + f / 700)``; the sides of a triangle are straight in Hz, as in HTK,
    librosa (``htk=True, norm=None``) and torchaudio.

    Parameters
    ----------
    settings : SpectrogramSettings
        Number and edges of the bands.
    ratio : float
        Every frequency of the transform counts as so many times itself: the bands of a sound
        shifted in pitch by `ratio`, from the spectrum of the sound as it is.

    Returns
    -------
    Tensor
        Float32, shape (n_mels, n_fft // 2 + 1). Shared between calls: do not write into it.

    Raises
    ------
    ValueError
        If a band is so narrow that no frequency of the transform falls into it.
    """
    edges = band_edges(settings)
    nyquist = settings.sample_rate / 2
    bins = ratio * torch.linspace(0, nyquist, settings.n_fft // 2 + 1, dtype=torch.float64)
    distance = bins - edges[:, None]
    width = edges.diff()[:, None]
    filters = torch.minimum(distance[:-2] / width[:-1], -distance[2:] / width[1:]).clamp(min=0)
    empty = int((filters.sum(1) == 0).sum())
    if empty and ratio == 1:
        raise ValueError(f"{empty} mel bands hold no frequency: lower n_mels or raise n_fft")
    return filters.float()


@lru_cache(maxsize=8)
def _sparse_filters(settings: SpectrogramSettings) -> SparseFilters:
    return SparseFilters.from_dense(mel_filters(settings)[None])


class MelSpectrogram(nn.Module):
    """Mel spectrogram of a batch, before the logarithm; see `mel_spectrogram`.

    Window and filters follow from the settings, so they are not part of the state dict.

    Shape
    -----
    Input (B, samples) float32, output (B, n_mels, 1 + samples // hop) float32.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, settings: SpectrogramSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or SpectrogramSettings()
        window = torch.hann_window(self.settings.n_fft, periodic=True)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", mel_filters(self.settings), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Bands by frames, before the logarithm."""
        n_fft, hop = self.settings.n_fft, self.settings.hop
        if waveform.ndim != 2 or waveform.shape[1] <= n_fft // 2:
            raise ValueError(
                f"waveform must be (batch, samples) with more than {n_fft // 2} samples, "
                f"not {tuple(waveform.shape)}"
            )
        if compiled(waveform):
            return self._sum_frames(waveform.float())
        # The range of powers is too wide for half precision.
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), n_fft, hop, window=self.window, center=True, return_complex=True
            )
            if self.settings.power == 1:
                return self.filters @ spectrum.abs()
            return self.filters @ (spectrum.real.square() + spectrum.imag.square())

    def _sum_frames(self, waveform: Tensor) -> Tensor:
        """Do the same by compiled kernels, on a CPU."""
        hop, side = self.settings.hop, self.settings.n_fft // 2
        around = functional.pad(waveform[:, None], (side, side), mode="reflect")[:, 0]
        first = hop * torch.arange(1 + waveform.shape[1] // hop).expand(len(waveform), -1)
        filters = _sparse_filters(self.settings)
        return sum_bands(around, first, self.window, filters, power=self.settings.power)


def mel_spectrogram(waveform: Tensor, settings: SpectrogramSettings | None = None) -> Tensor:
    """Mel spectrogram of a batch, before the logarithm.

    Frames are centred on multiples of the hop; the ends are mirrored.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, samples), float32; more than n_fft / 2 samples.
    settings : SpectrogramSettings, optional
        The paper's by default.

    Returns
    -------
    Tensor
        Shape (B, n_mels, 1 + samples // hop), float32, zero or above.

    Examples
    --------
    >>> mel_spectrogram(torch.zeros(2, 160_000)).shape
    torch.Size([2, 128, 157])
    """
    return MelSpectrogram(settings).to(waveform.device).forward(waveform)


def compress(mel: Tensor, floor: float) -> Tensor:
    """Natural logarithm of ``mel + floor``; same shape as `mel`."""
    return torch.log(mel.float() + floor)


def log_mel(waveform: Tensor, settings: SpectrogramSettings | None = None) -> Tensor:
    """Log mel spectrogram of a batch: `mel_spectrogram`, then `compress`; same shapes."""
    settings = settings or SpectrogramSettings()
    return compress(mel_spectrogram(waveform, settings), settings.floor)


class FrontEnd(nn.Module):
    """Waveform to standardised image: mel, logarithm, batch norm per band, convolution to RGB.

    Parameters
    ----------
    settings : SpectrogramSettings, optional
        The paper's by default.
    rgb : bool
        Whether to project the one channel to three, for ConvNets made for pictures.

    Shape
    -----
    Input (B, samples) float32, output (B, 3 or 1, n_mels, 1 + samples // hop).
    """

    def __init__(self, settings: SpectrogramSettings | None = None, *, rgb: bool = True) -> None:
        super().__init__()
        self.settings = settings or SpectrogramSettings()
        self.mel = MelSpectrogram(self.settings)
        self.standardize = nn.BatchNorm1d(self.settings.n_mels)
        self.project = nn.Conv2d(1, 3, kernel_size=3, padding=1) if rgb else nn.Identity()

    def forward(self, waveform: Tensor) -> Tensor:
        """Image of a waveform."""
        return self.image(compress(self.mel(waveform), self.settings.floor))

    def image(self, log_mel: Tensor) -> Tensor:
        """Continue from log mel spectrograms (B, n_mels, frames) that were computed before."""
        standardized: Tensor = self.standardize(log_mel)
        projected: Tensor = self.project(standardized[:, None])
        return projected
