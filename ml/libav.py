"""What libsndfile does not read, such as AAC, WMA and Opus in WebM: decoded by FFmpeg, by PyAV.

The container is told by its first bytes, never guessed: FFmpeg also knows playlists, which would
make it open other files and addresses.
"""

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ml.containers import truncated
from ml.errors import AudioError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Float32 = npt.NDArray[np.float32]

_MAGIC: dict[str, tuple[int, tuple[bytes, ...]]] = {
    "mov": (4, (b"ftyp", b"moov", b"mdat", b"wide", b"free")),
    "matroska": (0, (b"\x1a\x45\xdf\xa3",)),
    "asf": (0, (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",)),
    "aac": (0, (b"\xff\xf1", b"\xff\xf9")),
    "ape": (0, (b"MAC ",)),
    "wv": (0, (b"wvpk",)),
    "tta": (0, (b"TTA1",)),
    "mpc8": (0, (b"MPCK",)),
    "mpc": (0, (b"MP+",)),
    "amr": (0, (b"#!AMR",)),
}
"""Demuxer of FFmpeg -> where its files have which bytes."""

_ESTIMATED = ("aac", "amr")
"""Demuxers of streams without a header: FFmpeg guesses their length from their first frames."""

_PRIMING_SECONDS = 0.25
"""By which containers count what encoders add at the ends."""


def recognise(file: IO[bytes]) -> str | None:
    """Name the demuxer for a file's content, if it is one of those that are let in.

    Parameters
    ----------
    file : IO[bytes]
        Seekable and unbuffered; its position is set back to the start.
    """
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    for demuxer, (offset, marks) in _MAGIC.items():
        if head[offset:].startswith(marks):
            return demuxer
    return None


class LibavReader:
    """The first sound of a file, read from its start to its end as samples within -1 to 1.

    Parameters
    ----------
    raw : IO[bytes]
        Seekable.
    demuxer : str
        As `recognise` names it.

    Raises
    ------
    AudioError
        `undecodable` or `not_audio`.
    """

    unit = 1.0

    def __init__(self, raw: IO[bytes], demuxer: str) -> None:
        import av  # a tenth of a second, for the few files that need it

        self._error = av.FFmpegError
        try:
            self._container: InputContainer = av.open(raw, mode="r", format=demuxer)
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                "undecodable", f"Its header is wrong ({error}): replace it."
            ) from error
        if not self._container.streams.audio:
            raise AudioError("not_audio", "Holds no sound: replace the file by wav, flac, ogg.")
        self._stream: AudioStream = self._container.streams.audio[0]
        self.samplerate, self.channels = self._stream.rate or 0, self._stream.channels or 0

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._container.close()

    @property
    def frames(self) -> int:
        """As the container says; 0 if it does not."""
        if self._container.format.name in _ESTIMATED:
            return 0
        if self._stream.duration is None or self._stream.time_base is None:
            seconds = (self._container.duration or 0) / 1_000_000
        else:
            seconds = float(self._stream.duration * self._stream.time_base)
        return round(seconds * self.samplerate)

    def read(self, size: int) -> Iterator[Float32]:
        """Yield blocks ``[size, channels]``; the last is not full.

        Raises
        ------
        AudioError
            `damaged`.
        """
        waiting: list[Float32] = []
        try:
            for frame in self._decode():
                waiting.append(frame)
                while sum(map(len, waiting)) >= size:
                    joined = np.concatenate(waiting)
                    waiting = [joined[size:]]
                    yield joined[:size]
        except self._error as error:
            why = " ".join(str(error).split())
            raise AudioError(
                "damaged", f"Decoding fails midway ({why}): replace the file."
            ) from error
        yield np.concatenate([*waiting, np.empty((0, self.channels), np.float32)])

    def check_end(self, frames: int) -> None:
        """Compare how many frames came with what the file promised.

        Raises
        ------
        AudioError
            `truncated`.
        """
        if frames + _PRIMING_SECONDS * self.samplerate < self.frames:
            raise truncated()

    def _decode(self) -> Iterator[Float32]:
        from av import AudioResampler

        as_float = AudioResampler(format="fltp")
        for frame in self._container.decode(self._stream):
            if (frame.sample_rate, frame.layout.nb_channels) != (self.samplerate, self.channels):
                raise AudioError("damaged", "Its sound changes midway: convert the file to FLAC.")
            for converted in as_float.resample(frame):
                yield np.asarray(converted.to_ndarray().T, np.float32)
