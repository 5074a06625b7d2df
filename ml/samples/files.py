"""Audio files that come out the same byte by byte, and appear whole or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_OGG_HEADER = 27


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under a temporary name and rename it, so that no half file is ever seen.

    Parameters
    ----------
    path : Path
        Final name; its folder is made if need be.
    write : callable
        Writes the content to the path that it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    write(part)
    part.replace(path)


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 of an Ogg page (RFC 3533), which is zlib's with every bit order turned round."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def _fix_serial(path: Path) -> None:
    """Give an Ogg stream the serial number 1: libsndfile takes one from the clock."""
    content = bytearray(path.read_bytes())
    start = 0
    while start < len(content):
        segments = content[start + _OGG_HEADER - 1]
        lengths = content[start + _OGG_HEADER : start + _OGG_HEADER + segments]
        end = start + _OGG_HEADER + segments + sum(lengths)
        content[start + 14 : start + 18] = (1).to_bytes(4, "little")
        content[start + 22 : start + 26] = bytes(4)  # the checksum is taken with itself at zero
        checksum = _ogg_checksum(bytes(content[start:end]))
        content[start + 22 : start + 26] = checksum.to_bytes(4, "little")
        start = end
    path.write_bytes(content)


def write_audio(path: Path, audio: NDArray[np.float32], rate: int) -> None:
    """Write audio in the format of the path's suffix, the same bytes for the same audio.

    Parameters
    ----------
    path : Path
        Ends in ``.wav``, ``.flac``, ``.ogg`` or ``.mp3``.
    audio : np.ndarray [shape=(samples,) or (samples, channels)]
        Between -1 and 1.
    rate : int
        Sample rate in Hz.
    """

    def write(part: Path) -> None:
        sf.write(part, audio, rate)
        if path.suffix == ".ogg":
            _fix_serial(part)

    write_whole(path, write)
