"""The binary form of COPY, against one written field by field."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import DatabaseError
from search.load import HEADER, Segments, encode_copy


def make_segments(ids: list[str]) -> Segments:
    n = len(ids)
    embeddings = np.random.default_rng(0).normal(size=(n, 128)).astype(np.float32)
    return Segments(ids, np.arange(n), np.arange(n) + 10, embeddings)


def encode_naively(version: int, bucket: int, segments: Segments) -> list[bytes]:
    rows = []
    for i, track_id in enumerate(segments.track_ids):
        numbers = [float(number) for number in segments.embeddings[i]]
        fields = [
            struct.pack(">i", version),
            str(track_id).encode(),
            struct.pack(">h", bucket),
            struct.pack(">i", int(segments.start_ms[i])),
            struct.pack(">i", int(segments.end_ms[i])),
            struct.pack(">hh128f", 128, 0, *numbers),
        ]
        sized = b"".join(struct.pack(">i", len(field)) + field for field in fields)
        rows.append(struct.pack(">h", len(fields)) + sized)
    return rows


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)))
def test_encoding_equals_one_written_field_by_field(ids: list[str]) -> None:
    segments = make_segments(ids)
    header, *blocks, trailer = encode_copy(7, 42, segments)
    assert header == HEADER == b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
    assert trailer == struct.pack(">h", -1)
    expected = encode_naively(7, 42, segments)
    order = np.argsort([len(str(track_id).encode()) for track_id in ids], kind="stable")
    assert b"".join(blocks) == b"".join(expected[i] for i in order)


def test_segments_of_another_dimension_are_refused() -> None:
    with pytest.raises(DatabaseError, match=r"128 .*\[2, 64\]"):
        Segments(["a", "b"], np.arange(2), np.arange(2), np.zeros((2, 64), np.float32))
