"""Files before they are decoded: whether one may be opened, and whether it was cut short.

What a truncated file still holds decodes without complaint in most formats, so what its container
promises is compared with what is there (RIFF and RF64, AIFF, Ogg: RFC 3533; Xing headers of MP3).
"""

import os
import stat
from pathlib import Path
from typing import IO

from ml.errors import AudioError

_UNKNOWN = 0xFFFFFFFF
"""Size in the header of a RIFF file whose writer could not go back to correct it."""

_SLACK = 8
"""Bytes by which writers disagree about padding."""

_OGG_PAGE_HEADER = 27
_OGG_PAGE_MAX = _OGG_PAGE_HEADER + 255 + 255 * 255
_OGG_LAST_PAGE = 0x04


def check_file(path: Path, max_bytes: int) -> None:
    """Refuse what is no readable file, or too large a one.

    Raises
    ------
    AudioError
        `missing_file`, `unreadable`, `not_a_file`, `empty` or `too_many_bytes`.
    """
    try:
        status = path.stat()
    except PermissionError as error:
        raise _unreadable() from error
    except (OSError, ValueError) as error:
        raise AudioError(
            "missing_file", "No file at its path: put it back, or take the track out."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("not_a_file", "A folder or device, no file: correct the path.")
    if not status.st_size:
        raise AudioError("empty", "The file is empty: copy it again.")
    if status.st_size > max_bytes:
        raise AudioError(
            "too_many_bytes",
            f"{status.st_size:,} bytes, at most {max_bytes:,}: cut it into parts, or compress it.",
        )
    if not os.access(path, os.R_OK, effective_ids=True):
        raise _unreadable()


def _unreadable() -> AudioError:
    return AudioError("unreadable", "No permission to read it: let this user read the file.")


def truncated() -> AudioError:
    """Make the error of a file that is not all there."""
    return AudioError("truncated", "Ends before its header says: copy the whole file again.")


def is_cut_short(file: IO[bytes]) -> bool:
    """Tell whether a file ends before its container says.

    Parameters
    ----------
    file : IO[bytes]
        Seekable and unbuffered; its position is set back to the start.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(28)
    cut = _promised_bytes(head) > size + _SLACK
    if head.startswith(b"OggS"):
        file.seek(max(0, size - 2 * _OGG_PAGE_MAX))
        cut = not _holds_last_page(file.read())
    file.seek(0)
    return cut


def _promised_bytes(head: bytes) -> int:
    kind, size = head[:4], head[4:8]
    if kind == b"RIFF":
        promised = int.from_bytes(size, "little")
        return 0 if promised == _UNKNOWN else 8 + promised
    if kind == b"RF64" and head[12:16] == b"ds64":
        return 8 + int.from_bytes(head[20:28], "little")
    if kind == b"FORM":
        return 8 + int.from_bytes(size, "big")
    return 0


def _holds_last_page(tail: bytes) -> bool:
    """Look for a whole page that is marked as its stream's last."""
    start = tail.find(b"OggS")
    while start >= 0:
        header = tail[start : start + _OGG_PAGE_HEADER]
        if len(header) == _OGG_PAGE_HEADER and header[5] & _OGG_LAST_PAGE:
            lengths = tail[start + _OGG_PAGE_HEADER :][: header[26]]
            end = start + _OGG_PAGE_HEADER + header[26] + sum(lengths)
            if len(lengths) == header[26] and end <= len(tail):
                return True
        start = tail.find(b"OggS", start + 1)
    return False


def counts_frames(file: IO[bytes]) -> bool:
    """Tell whether an MP3's own header says how long it is; else its length is only an estimate.

    Parameters
    ----------
    file : IO[bytes]
        Seekable and unbuffered; its position is set back to the start.
    """
    file.seek(0)
    head = file.read(10)
    tags = 0
    if head.startswith(b"ID3"):  # its size has seven bits in a byte
        tags = 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[:5:-1]))
    file.seek(tags)
    frame = file.read(200)
    file.seek(0)
    return b"Xing" in frame or b"Info" in frame
