"""Cursors: all that the next page of results needs, kept by the caller and not by the server."""

import base64
import binascii
import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.api.models import Filters, QueryEcho, TrackId, Version
from search.api.problems import Problem
from search.retrieval import DEEPEST

_LARGEST = 100_000  # bytes of a cursor, unpacked: a few hundred ids of the longest kind


class Cursor(BaseModel):
    """Where a search goes on."""

    model_config = ConfigDict(extra="forbid")

    version: Version
    vector: str = Field(max_length=1000)
    skip: int = Field(ge=0, le=DEEPEST)
    k: int = Field(ge=1, le=100)
    filters: Filters
    excluded: list[TrackId] = Field(max_length=50)
    query: QueryEcho

    def write(self) -> str:
        """Write it as text that fits into a URL."""
        packed = zlib.compress(self.model_dump_json().encode())
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(text: str) -> tuple[Cursor, NDArray[np.float32]]:
    """Read a cursor, and the vector in it.

    Raises
    ------
    Problem
        It is none of ours: 422, `invalid_cursor`.
    """
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        unpacker = zlib.decompressobj()
        cursor = Cursor.model_validate_json(unpacker.decompress(packed, _LARGEST))
        return cursor, _read_vector(cursor.vector)
    except (ValueError, ValidationError, zlib.error, binascii.Error) as error:
        raise Problem(
            422, "invalid_cursor", "This cursor is damaged or of another program: search again."
        ) from error


def write_vector(vector: NDArray[np.float32]) -> str:
    """Write a vector as text."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _read_vector(text: str) -> NDArray[np.float32]:
    vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if vector.shape != (128,) or not abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
        raise ValueError("no unit vector of 128")
    return vector
