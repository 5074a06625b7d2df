"""Cursors: what goes in comes out, and nothing else is taken."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.api.cursors import Cursor, read_cursor, write_vector
from search.api.models import Filters, QueryEcho
from search.api.problems import Problem

VECTOR = np.eye(128, dtype=np.float32)[5]


def make_cursor(**changes: object) -> Cursor:
    facts: dict[str, object] = {
        "version": 3,
        "vector": write_vector(VECTOR),
        "skip": 20,
        "k": 10,
        "filters": Filters(genres=["jazz"]),
        "excluded": ["låt"],
        "query": QueryEcho(kind="examples", windows=2),
    }
    return Cursor.model_validate(facts | changes)


def test_cursor_comes_back() -> None:
    cursor, vector = read_cursor(make_cursor().write())
    assert cursor == make_cursor()
    assert np.array_equal(vector, VECTOR)


@pytest.mark.parametrize(
    "vector", ["", "AAAA", write_vector(0 * VECTOR), write_vector(VECTOR * np.nan)]
)
def test_vector_that_is_none_is_refused(vector: str) -> None:
    with pytest.raises(Problem, match="search again"):
        read_cursor(make_cursor(vector=vector).write())


def test_bomb_is_not_unpacked() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b"[" * 50_000_000)).decode()
    with pytest.raises(Problem, match="search again"):
        read_cursor(bomb)


@given(st.text(max_size=200))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Problem) as raised:
        read_cursor(text)
    assert raised.value.status == 422
