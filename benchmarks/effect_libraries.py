"""The paper's effects chain, put together from libraries: what one would write without our own."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from torch import Tensor

from ml.effects.parameters import PAPER_EFFECTS, EffectParameters

Sound = NDArray[np.float32]
Move = Callable[[Sound, float, float, int], Sound]  # sound, rate, semitones, sample rate

N_FFT, HOP = 2048, 512


def stretch_with_signalsmith(
    sound: Sound, rate: float, semitones: float, sample_rate: int, *, cheaper: bool
) -> Sound:
    """Stretch and shift the pitch in one pass."""
    from python_stretch.Signalsmith import Stretch

    stretch = Stretch()
    stretch.preset(1, sample_rate, cheaper)
    stretch.setTimeFactor(rate)
    stretch.setTransposeSemitones(semitones)
    moved: Sound = np.asarray(stretch.process(sound[None]), np.float32)[0]
    return moved


def stretch_with_librosa(sound: Sound, rate: float, semitones: float, sample_rate: int) -> Sound:
    """Stretch, then shift the pitch."""
    import librosa

    if rate != 1:
        sound = librosa.effects.time_stretch(sound, rate=rate)
    if semitones:
        sound = librosa.effects.pitch_shift(sound, sr=sample_rate, n_steps=semitones)
    return sound


def transform_by_clip(music: Tensor, p: EffectParameters, samples: int, *, move: Move) -> Tensor:
    """Do the chain clip by clip with numpy and scipy, stretch and pitch by `move`."""
    output = np.zeros((len(music), samples), np.float32)
    for i, sound in enumerate(music.numpy()):
        rate, semitones, decay = float(p.rate[i]), float(p.semitones[i]), float(p.decay[i])
        random = np.random.default_rng(int(p.seed[i]))
        clip = _cut(sound, float(p.shift[i]) * p.sample_rate, rate, samples)
        if rate != 1 or semitones:
            clip = move(clip, rate, semitones, p.sample_rate)[:samples]
        if decay:
            room = _draw_room(decay, p.sample_rate, random)
            wet = np.float32(10 ** (float(p.wet_db[i]) / 20))
            clip = (clip + wet * fftconvolve(clip, room)[: len(clip)]).astype(np.float32)
        if torch.isfinite(p.snr_db[i]):
            noise = random.standard_normal(len(clip), np.float32)
            level = np.sqrt(np.mean(clip**2)) * 10 ** (-float(p.snr_db[i]) / 20)
            noise = noise.clip(-p.noise_truncation, p.noise_truncation)
            clip = (clip + level * noise).astype(np.float32)
        output[i, : len(clip)] = clip
    return torch.from_numpy(output)


def transform_with_torch_audiomentations(
    music: Tensor, p: EffectParameters, samples: int
) -> Tensor:
    """Stretch one by one with torchaudio, the rest by batches.

    Pitch and noise are torch-audiomentations' own, with its own draws; its reverberation cannot
    read files with this torchaudio, so torchaudio's convolution takes its place.
    """
    import torchaudio

    pitch, noise = _torch_augmentations(p.sample_rate)
    stretch, window = (
        torchaudio.transforms.TimeStretch(HOP, N_FFT // 2 + 1),
        torch.hann_window(N_FFT),
    )
    clips = torch.zeros(len(music), samples)
    for i, rate in enumerate(p.rate.tolist()):
        shift = float(p.shift[i]) * p.sample_rate
        clip = torch.from_numpy(_cut(music[i].numpy(), shift, rate, samples))
        if rate != 1:
            spectrum = torch.stft(clip, N_FFT, HOP, window=window, return_complex=True)
            clip = torch.istft(stretch(spectrum, rate), N_FFT, HOP, window=window)
        clips[i, : len(clip)] = clip[:samples]
    if p.semitones.any():
        clips = pitch(clips[:, None], sample_rate=p.sample_rate).samples[:, 0]
    if p.decay.any():
        random = np.random.default_rng(int(p.seed[0]))
        rooms = [_draw_room(max(float(d), 0.01), p.sample_rate, random) for d in p.decay]
        taps = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(r) for r in rooms], True)
        wet = torch.where(p.decay > 0, 10 ** (p.wet_db / 20), 0).float()[:, None]
        clips = clips + wet * torchaudio.functional.fftconvolve(clips, taps)[:, :samples]
    if p.snr_db.isfinite().any():
        clips = noise(clips[:, None], sample_rate=p.sample_rate).samples[:, 0]
    return clips


@lru_cache(maxsize=1)
def _torch_augmentations(sample_rate: int) -> tuple[Any, Any]:
    from torch_audiomentations import AddColoredNoise, PitchShift

    s, form = PAPER_EFFECTS, {"sample_rate": sample_rate, "output_type": "dict"}
    pitch = PitchShift(-s.semitones, s.semitones, p=s.pitch_probability, **form)
    noise = AddColoredNoise(*s.snr_db, 0.0, 0.0, p=s.noise_probability, **form)
    return pitch, noise


def _cut(sound: Sound, shift: float, rate: float, samples: int) -> Sound:
    """Take what becomes the clip."""
    start = max(0, round(len(sound) / 2 + shift - rate * samples / 2))
    return sound[start : start + round(rate * samples)]


def _draw_room(decay: float, sample_rate: int, random: np.random.Generator) -> Sound:
    seconds = np.arange(int(decay * sample_rate)) / sample_rate
    room = random.standard_normal(len(seconds)) * 10 ** (-3 * seconds / decay)
    return np.asarray(room / np.sqrt(np.sum(room**2)), np.float32)


CONTENDERS: dict[str, Callable[[Tensor, EffectParameters, int], Tensor]] = {
    "python-stretch, cheap": partial(
        transform_by_clip, move=partial(stretch_with_signalsmith, cheaper=True)
    ),
    "python-stretch": partial(
        transform_by_clip, move=partial(stretch_with_signalsmith, cheaper=False)
    ),
    "librosa": partial(transform_by_clip, move=stretch_with_librosa),
    "torch-audiomentations": transform_with_torch_audiomentations,
}
