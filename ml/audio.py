"""Decode audio files into the project's one format: 16 kHz, mono, int16 (paper, section 2.1).

A file is read, summed to mono and resampled in one streaming pass, so that memory holds a block
of the file and the result, never the decoded original.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf
import soxr

from ml.errors import AudioError

SAMPLE_RATE = 16_000
"""Hz, of everything after decoding."""

INT16_SCALE = 32_767
"""Full scale (1.0) in the int16 samples."""

DECODER_VERSION = 1
"""Raised when the same file would give other samples: it is part of every clip's fingerprint."""

Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]

_BLOCK_FRAMES = 1 << 16


@dataclass(frozen=True)
class AudioLimits:
    """What a file must satisfy to be used."""

    min_seconds: float = 10.0
    max_seconds: float = 4 * 3600.0
    max_channels: int = 8
    min_sample_rate: int = 8_000
    max_sample_rate: int = 384_000
    silence_peak: float = 10 ** (-60 / 20)
    """Linear full scale: a file that never gets louder is silent."""


class _OneWayFile(sf.SoundFile):  # type: ignore[misc]
    """A file that is only read on: soundfile seeks after every read, which breaks up an MP3."""

    def seekable(self) -> bool:
        return False


def decode(path: Path, limits: AudioLimits | None = None) -> Int16:
    """Decode a whole file to 16 kHz mono.

    Channels are averaged rather than added, so a full-scale stereo pair stays within full scale;
    what the resampler overshoots is clipped, never wrapped around.

    Parameters
    ----------
    path : Path
        Anything that libsndfile reads: wav, flac, ogg, mp3, aiff. Recognised by content.
    limits : AudioLimits, optional
        What the file must satisfy.

    Returns
    -------
    numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz, 32767 being full scale.

    Raises
    ------
    AudioError
        `undecodable`, `too_short`, `too_long`, `too_many_channels`, `sample_rate`, `not_finite`
        or `silent`, each with a sentence that says what to do.
    """
    limits = limits or AudioLimits()
    try:
        with _OneWayFile(path) as file:
            _check_header(file, limits)
            samples = np.concatenate(list(_stream(file)))
    except (sf.LibsndfileError, OSError, TypeError) as error:  # TypeError: a name ending in .raw
        raise AudioError(
            "undecodable", f"Not decodable as audio ({error}): replace the file."
        ) from error
    _check_samples(samples, limits)
    return samples


def to_float(samples: Int16) -> Float32:
    """Scale int16 samples to float32 within -1 to 1."""
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


def _stream(file: sf.SoundFile) -> Iterator[Int16]:
    block = np.empty((_BLOCK_FRAMES, file.channels), np.float32)
    weights = np.full(file.channels, 1 / file.channels, np.float32)
    resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    last = False
    while not last:
        frames = file.read(out=block)
        last = len(frames) < _BLOCK_FRAMES
        mono = frames @ weights
        if not np.isfinite(mono).all():
            raise AudioError("not_finite", "Holds NaN or infinite samples: export the file again.")
        yield _quantise(resampler.resample_chunk(mono, last=last))


def _quantise(samples: Float32) -> Int16:
    return np.rint(np.clip(samples, -1.0, 1.0) * INT16_SCALE).astype(np.int16)


def _check_header(file: sf.SoundFile, limits: AudioLimits) -> None:
    if file.channels > limits.max_channels:
        raise AudioError(
            "too_many_channels",
            f"{file.channels} channels, at most {limits.max_channels}: mix it down.",
        )
    if not limits.min_sample_rate <= file.samplerate <= limits.max_sample_rate:
        raise AudioError("sample_rate", f"{file.samplerate} Hz is out of range: resample the file.")
    if file.frames > limits.max_seconds * file.samplerate:
        raise AudioError("too_long", f"Longer than {limits.max_seconds:.0f} s: cut it into parts.")


def _check_samples(samples: Int16, limits: AudioLimits) -> None:
    seconds = len(samples) / SAMPLE_RATE
    if seconds < limits.min_seconds:
        raise AudioError(
            "too_short",
            f"{seconds:.1f} s, at least {limits.min_seconds:.0f} s needed: use a longer cut.",
        )
    if np.abs(samples.astype(np.int32)).max() <= limits.silence_peak * INT16_SCALE:
        raise AudioError("silent", "Nothing louder than -60 dBFS in it: export the file again.")
