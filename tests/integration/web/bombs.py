"""Small files that would be large if one did what they say."""

import gzip
import io
import struct

import numpy as np
import soundfile

MINUTE = 60
TOO_LONG_S = 16 * MINUTE


def make_bombs() -> dict[str, bytes]:
    """Make one of each kind, by what it is."""
    flac = write_silence("FLAC", 8000, 8, TOO_LONG_S)
    return {
        "long flac": flac,  # expands a thousandfold
        "flac that says it is short": understate(flac, 10 * 8000),
        "wide flac": write_silence("FLAC", 192_000, 8, 20),
        "long ogg": write_silence("OGG", 8000, 1, TOO_LONG_S),
        "wav that says it has 4 GB": overstate(write_silence("WAV", 8000, 1, 1)),
        "zeros by gzip": gzip.compress(bytes(64 << 20), 1),
    }


def write_silence(container: str, rate: int, channels: int, seconds: int) -> bytes:
    """Write silence, ten seconds at a time."""
    file, block = io.BytesIO(), np.zeros((10 * rate, channels), np.int16)
    with soundfile.SoundFile(file, "w", rate, channels, format=container) as writer:
        for _ in range(-(-seconds // 10)):
            writer.write(block)
    return file.getvalue()


def understate(flac: bytes, samples: int) -> bytes:
    """Put another length into a FLAC's STREAMINFO: 36 bits that end 18 bytes into it."""
    changed = bytearray(flac)
    changed[21] &= 0xF0
    changed[22:26] = struct.pack(">I", samples)
    return bytes(changed)


def overstate(wav: bytes) -> bytes:
    """Say that a WAV is as long as can be said."""
    place = wav.index(b"data") + 4
    most = struct.pack("<I", 0xFFFF_FFF0)
    return wav[:4] + most + wav[8:place] + most + wav[place + 4 :]
