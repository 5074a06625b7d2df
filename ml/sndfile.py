"""Sound files as libsndfile reads them: wav, flac, ogg, mp3, aiff and more."""

import os
from collections.abc import Iterator
from typing import IO

import numpy as np
import numpy.typing as npt
import soundfile as sf

from ml.containers import counts_frames, truncated
from ml.errors import AudioError

LENGTH_UNKNOWN = 1 << 62
"""Frames of a FLAC whose header does not say."""

Frames = npt.NDArray[np.int16] | npt.NDArray[np.float32]

_TAGS_BYTES = 1 << 16  # that may follow the sound of an MP3
_LOSS_SHARE = 0.01  # of a file, that may be left unread
_NOT_RECOGNISED = 1  # SF_ERR_UNRECOGNISED_FORMAT of <sndfile.h>


class _OneWayFile(sf.SoundFile):  # type: ignore[misc]
    """A file that is only read on: soundfile seeks after every read, which breaks up an MP3."""

    def seekable(self) -> bool:
        return False


class SndfileReader:
    """A file read from its start to its end.

    Parameters
    ----------
    raw : IO[bytes]
        Unbuffered, with a descriptor.

    Raises
    ------
    AudioError
        `not_audio` or `undecodable`.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        try:
            # By number, since soundfile takes a name that ends in .raw for the format.
            self._file = _OneWayFile(raw.fileno(), closefd=False)
        except sf.LibsndfileError as error:
            if error.code == _NOT_RECOGNISED:
                raise AudioError(
                    "not_audio",
                    "Not recognised as audio: replace the file by wav, flac, ogg or mp3.",
                ) from error
            raise AudioError(
                "undecodable", f"Its header is wrong (error {error.code}): replace the file."
            ) from error
        self.samplerate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int = self._file.frames
        # What is int16 in the file is read as such: turning it to float is half of libsndfile's
        # time for wav, and numpy does it in a sixth of that.
        self._dtype = np.int16 if self._file.subtype == "PCM_16" else np.float32
        self.unit = 1 / (1 << 15) if self._dtype is np.int16 else 1.0

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._file.close()

    def read(self, size: int) -> Iterator[Frames]:
        """Yield blocks ``[size, channels]`` in one buffer; the last is not full.

        Times `unit` they are within -1 to 1.

        Raises
        ------
        AudioError
            `truncated` or `damaged`.
        """
        block = np.empty((size, self.channels), self._dtype)
        frames = block
        while len(frames) == size:
            try:
                frames = self._file.read(out=block)
            except sf.LibsndfileError as error:
                if not self._bytes_left():
                    raise truncated() from error
                raise AudioError(
                    "damaged", f"Decoding fails midway (error {error.code}): replace the file."
                ) from error
            yield frames

    def check_end(self, frames: int) -> None:
        """Compare how many frames came with what the file promised.

        Raises
        ------
        AudioError
            `truncated` or `uncounted`.
        """
        left = self._bytes_left()
        if self._file.format != "MP3" or counts_frames(self._raw):
            if frames < self.frames < LENGTH_UNKNOWN:
                raise truncated()
        # Without a count, libsndfile guesses the length from the first frame, and stops there.
        elif left > max(_TAGS_BYTES, _LOSS_SHARE * os.fstat(self._raw.fileno()).st_size):
            raise AudioError(
                "uncounted",
                "An MP3 of varying bit rate that does not say its length: convert it to FLAC.",
            )

    def _bytes_left(self) -> int:
        """How much of the file libsndfile has not read; it shares our position in it."""
        raw = self._raw.fileno()
        return os.fstat(raw).st_size - os.lseek(raw, 0, os.SEEK_CUR)
