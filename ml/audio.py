"""Decode audio files into the project's one format: 16 kHz, mono, int16 (paper, section 2.1).

A file is read, averaged to mono and resampled in one streaming pass, so that memory holds a block
of the file and of the result, however long the track is.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import soxr

from ml.containers import check_file, is_cut_short, truncated
from ml.errors import AudioError
from ml.libav import LibavReader, recognise
from ml.sndfile import LENGTH_UNKNOWN, SndfileReader

SAMPLE_RATE = 16_000
"""Hz, of everything after decoding."""

INT16_SCALE = 32_767
"""Full scale (1.0) in the int16 samples."""

DECODER_VERSION = 3
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
    max_bytes: int = 1 << 32
    """Of the file."""
    max_values: int = 1 << 31
    """Decoded frames times channels: a small file can expand thousands of times."""
    silence_peak: float = 10 ** (-60 / 20)
    """Linear full scale: a file that never gets louder is silent."""


def decode(path: Path, limits: AudioLimits | None = None) -> Int16:
    """Decode a whole file to 16 kHz mono in memory; see `decode_blocks`.

    Returns
    -------
    numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz, 32767 being full scale.
    """
    return np.concatenate(list(decode_blocks(path, limits or AudioLimits())))


def decode_blocks(path: Path, limits: AudioLimits) -> Iterator[Int16]:
    """Decode a file to 16 kHz mono, block by block.

    Channels are averaged rather than added, so a full-scale stereo pair stays within full scale;
    what the resampler overshoots is clipped, never wrapped around.

    Parameters
    ----------
    path : Path
        Anything that libsndfile reads (wav, flac, ogg, mp3, aiff) and, by FFmpeg, what `ml.libav`
        recognises (m4a, wma, webm). Told by content, not by name.
    limits : AudioLimits
        What the file must satisfy.

    Yields
    ------
    numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz, 32767 being full scale.

    Raises
    ------
    AudioError
        Before the first block: what `ml.containers.check_file` refuses, `not_audio`,
        `undecodable`, `too_long`, `too_many_channels`, `too_many_values`, `sample_rate`.
        At any block: `truncated`, `damaged`, `not_finite`, and the limits that a header evaded.
        After the last: `truncated`, `uncounted`, `empty`, `too_short`, `silent`, `constant`.
        Each has a sentence that says what to do.
    """
    check_file(path, limits.max_bytes)
    try:
        with path.open("rb", buffering=0) as raw:
            if is_cut_short(raw):
                raise truncated()
            with closing(_open(raw)) as file:
                _check_header(file, limits)
                yield from _stream(file, limits)
    except OSError as error:
        raise AudioError(
            "unreadable", f"Reading stopped ({error.strerror}): check the disk, copy it again."
        ) from error


def to_float(samples: Int16) -> Float32:
    """Scale int16 samples to float32 within -1 to 1."""
    return samples.astype(np.float32) / np.float32(INT16_SCALE)


def _open(raw: IO[bytes]) -> SndfileReader | LibavReader:
    try:
        return SndfileReader(raw)
    except AudioError as error:
        demuxer = recognise(raw) if error.reason == "not_audio" else None
        if demuxer is None:
            raise
    return LibavReader(raw, demuxer)


def _stream(file: SndfileReader | LibavReader, limits: AudioLimits) -> Iterator[Int16]:
    mixer = _Mixer(file.channels, file.unit)
    resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    heard = _Heard(limits)
    for frames in file.read(_BLOCK_FRAMES):
        mono = mixer.mix(frames)
        heard.add(mono)
        _check_length(heard.frames, file, limits)
        last = len(mono) < _BLOCK_FRAMES
        samples = _quantise(resampler.resample_chunk(mono, last=last))
        heard.add_resampled(samples)
        yield samples
    file.check_end(heard.frames)
    heard.check()


class _Mixer:
    """Averages channels into a buffer: the system would take new ones back and clear them."""

    def __init__(self, channels: int, unit: float) -> None:
        # A unit is a power of two, so that multiplying by it changes no rounding.
        self.weights = np.full(channels, 1 / channels, np.float32) * np.float32(unit)
        self.floats = np.empty((_BLOCK_FRAMES, channels), np.float32)
        self.mono = np.empty(_BLOCK_FRAMES, np.float32)

    def mix(self, frames: Int16 | Float32) -> Float32:
        """Give the mean over channels, until the next is asked for."""
        floats = frames
        if frames.dtype != np.float32:
            floats = self.floats[: len(frames)]
            np.copyto(floats, frames)
        mono: Float32 = np.matmul(floats, self.weights, out=self.mono[: len(frames)])
        return mono


def _quantise(samples: Float32) -> Int16:
    """Clip, scale and round, in place."""
    np.clip(samples, -1.0, 1.0, out=samples)
    samples *= INT16_SCALE
    return np.rint(samples, out=samples).astype(np.int16)


@dataclass
class _Heard:
    """What went by so far."""

    limits: AudioLimits
    frames: int = 0
    samples: int = 0
    peak: int = 0
    lowest: float = np.inf
    highest: float = -np.inf

    @property
    def silent(self) -> bool:
        return self.peak <= self.limits.silence_peak * INT16_SCALE

    @property
    def constant(self) -> bool:
        return self.highest - self.lowest <= 2 * self.limits.silence_peak

    def add(self, mono: Float32) -> None:
        if not len(mono):
            return
        self.frames += len(mono)
        if not np.isfinite(mono).all():
            raise AudioError("not_finite", "Holds NaN or infinite samples: export the file again.")
        if self.constant:  # and once it is not, it never will be
            self.lowest = min(self.lowest, float(mono.min()))
            self.highest = max(self.highest, float(mono.max()))

    def add_resampled(self, samples: Int16) -> None:
        self.samples += len(samples)
        if self.silent and len(samples):
            self.peak = max(self.peak, int(samples.max()), -int(samples.min()))

    def check(self) -> None:
        seconds = self.samples / SAMPLE_RATE
        if not self.frames:
            raise AudioError("empty", "Holds no audio: export the file again.")
        if seconds < (least := self.limits.min_seconds):
            raise AudioError(
                "too_short", f"{seconds:.1f} s, at least {least:.0f} s needed: use a longer cut."
            )
        if self.silent:
            raise AudioError("silent", "Nothing louder than -60 dBFS in it: export the file again.")
        if self.constant:
            raise AudioError("constant", "A constant level (DC), no sound: export the file again.")


def _check_header(file: SndfileReader | LibavReader, limits: AudioLimits) -> None:
    if file.channels > limits.max_channels:
        raise AudioError(
            "too_many_channels",
            f"{file.channels} channels, at most {limits.max_channels}: mix it down.",
        )
    if not limits.min_sample_rate <= file.samplerate <= limits.max_sample_rate:
        raise AudioError("sample_rate", f"{file.samplerate} Hz is out of range: resample the file.")
    if file.frames < LENGTH_UNKNOWN:
        _check_length(file.frames, file, limits)


def _check_length(frames: int, file: SndfileReader | LibavReader, limits: AudioLimits) -> None:
    """Hold against the limits what a header says, and again what comes: headers lie."""
    if frames > limits.max_seconds * file.samplerate:
        raise AudioError("too_long", f"Longer than {limits.max_seconds:.0f} s: cut it into parts.")
    if frames * file.channels > limits.max_values:
        raise AudioError(
            "too_many_values",
            f"More than {limits.max_values:,} samples over all channels: cut it into parts.",
        )
