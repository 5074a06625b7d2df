"""A track's original file as an answer: ranges, and the type that its first bytes tell."""

from contextlib import ExitStack
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from ml.errors import AudioError
from ml.sources import open_locally
from search.api.problems import Problem

_LARGEST = 1 << 32

# By their first bytes, since names lie and browsers are told not to guess.
_SIGNATURES = (
    (b"RIFF", "audio/wav"),
    (b"RF64", "audio/wav"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"FORM", "audio/aiff"),
    (b"\x1aE\xdf\xa3", "audio/webm"),
    (b"0&\xb2u", "audio/x-ms-wma"),
)


def serve_audio(path: str) -> FileResponse:
    """Serve a file of the catalogue; a remote one is copied to a file without a name first.

    Parameters
    ----------
    path : str
        As the pipeline recorded it: never from a request.

    Raises
    ------
    Problem
        It is not there (any more): 404, `audio_missing`.
    """
    with ExitStack() as stack:
        try:
            local = stack.enter_context(open_locally(path, _LARGEST))
            with local.open("rb") as file:
                kind = detect_type(file.read(12))
        except (OSError, AudioError) as error:
            raise Problem(
                404,
                "audio_missing",
                "The file of this track is not where the catalogue says: put it back, or run the "
                "pipeline again.",
            ) from error
        keep = stack.pop_all()
    headers = {"Cache-Control": "private, no-cache"}
    return FileResponse(
        Path(local), media_type=kind, headers=headers, background=BackgroundTask(keep.close)
    )


def detect_type(head: bytes) -> str:
    """Name the media type of a file by its first twelve bytes.

    Examples
    --------
    >>> detect_type(b"fLaC" + bytes(8)), detect_type(bytes(4) + b"ftypM4A ")
    ('audio/flac', 'audio/mp4')
    """
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[4:8] == b"ftyp":
        return "audio/mp4"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/mpeg"
    return "application/octet-stream"
