"""An uploaded file becomes a vector: spooled without a name, decoded apart, embedded, forgotten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import FormData, UploadFile

from ml.audio import SAMPLE_RATE, Int16
from ml.decoding import decode_excerpt
from ml.embedding import embed_excerpt
from ml.errors import AudioError
from ml.waveform import measure_loudness
from search.api.models import DEFAULT_MS, SHORTEST_MS, Options, check_region
from search.api.problems import Problem
from search.api.services import Services
from search.api.stages import Stages

FORM_LIMITS = {"max_files": 1, "max_fields": 8, "max_part_size": 64 * 1024}
_FIELDS = frozenset({"file", "start_ms", "end_ms", "options", "rater"})


@dataclass(frozen=True)
class Upload:
    """A file that was sent, and which region of it is meant.

    Parameters
    ----------
    file : UploadFile
        Its spool has no name in any folder.
    start_ms, end_ms : int
        The region, milliseconds.
    options : Options
        Filters and so on.
    """

    file: UploadFile
    start_ms: int
    end_ms: int
    options: Options


class Embedded(NamedTuple):
    """An upload as a query."""

    vector: NDArray[np.float32]
    windows: int
    end_ms: int
    loudness_lufs: float | None


def read_form(form: FormData) -> Upload:
    """Read a multipart form: `file`, `start_ms`, `end_ms`, `options` (JSON).

    Raises
    ------
    Problem
        A part is missing, unknown or makes no sense.
    """
    if unknown := sorted(set(form) - _FIELDS):
        raise _invalid(f"the form has no part {unknown[0][:40]!r}: leave it out")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise _invalid("the part `file` is missing: send an audio file as it")
    start = _read_milliseconds(form, "start_ms", 0)
    end = _read_milliseconds(form, "end_ms", start + DEFAULT_MS)
    try:
        check_region(start, end)
    except ValueError as error:
        raise _invalid(str(error)) from error
    options = form.get("options") or "{}"
    return Upload(file, start, end, Options.model_validate_json(str(options)))


def embed_upload(services: Services, upload: Upload, version: int, stages: Stages) -> Embedded:
    """Decode a region, and embed it by one version's encoder.

    Raises
    ------
    AudioError
        The file cannot be used.
    RegistryError, EncoderError
        The encoder cannot be loaded.
    """
    encoder = services.encoders.of(version)
    samples, end_ms = decode_upload(services, upload, stages)
    with stages.time("encode"):
        vector, windows = embed_excerpt(encoder, samples)
        return Embedded(vector, windows, end_ms, measure_loudness(samples))


def decode_upload(services: Services, upload: Upload, stages: Stages) -> tuple[Int16, int]:
    """Decode a region in a limited process.

    Returns
    -------
    numpy.ndarray [shape=(samples,)], int
        int16 at 16 kHz, and where the region ends in the file, milliseconds.

    Raises
    ------
    AudioError
        The file cannot be used.
    """
    with stages.time("decode"):
        upload.file.file.flush()
        # The worker opens the spool through this process: it never has a name of its own.
        spool = Path(f"/proc/{os.getpid()}/fd/{upload.file.file.fileno()}")
        samples = decode_excerpt(
            spool,
            upload.start_ms,
            upload.end_ms,
            services.settings.audio_limits,
            services.settings.worker_limits,
        )
    length_ms = len(samples) * 1000 // SAMPLE_RATE
    if length_ms < SHORTEST_MS:
        raise AudioError(
            "too_short", f"{length_ms / 1000:.1f} s of it are in the file: choose at least 2 s."
        )
    return samples, upload.start_ms + length_ms


@contextmanager
def one_of_few(services: Services) -> Iterator[None]:
    """Hold one of the few places of uploads being embedded.

    Raises
    ------
    Problem
        All are taken: 429, with when to try again.
    """
    if not services.uploads.acquire(blocking=False):
        services.metrics.refused.inc()
        raise Problem(
            429,
            "busy",
            "Other uploads are being listened to: try again in two seconds.",
            {"Retry-After": "2"},
        )
    try:
        with services.metrics.embedding.track_inprogress():
            yield
    finally:
        services.uploads.release()


def _read_milliseconds(form: FormData, name: str, default: int) -> int:
    given = form.get(name)
    if given is None or given == "":
        return default
    text = str(given)
    if not (text.isascii() and text.isdecimal() and len(text) <= 8):
        raise _invalid(f"`{name}` is a whole number of milliseconds: correct it")
    return int(text)


def _invalid(message: str) -> Problem:
    return Problem(422, "invalid_request", f"{message[:1].upper()}{message[1:]}.")
