"""Named queries."""

import re
from pathlib import Path

import pytest

from search.queries import SQL_FOLDER, query

ROOM = Path(__file__).parents[3] / "search"


def test_query_is_found_by_name() -> None:
    text = query("active_version").as_string()
    assert text == "SELECT active_version()"


def test_unknown_query_is_an_error() -> None:
    with pytest.raises(KeyError):
        query("no_such_query")


def test_every_query_is_used_and_every_use_has_a_query() -> None:
    code = "".join(path.read_text() for path in ROOM.rglob("*.py"))
    used = set(re.findall(r'(?:query|_step|_?ask)\((?:\w+, )?"(\w+)"', code))
    files = "".join(path.read_text() for path in (SQL_FOLDER / "queries").glob("*.sql"))
    assert used == set(re.findall(r"^-- name: (\w+)$", files, re.MULTILINE))
