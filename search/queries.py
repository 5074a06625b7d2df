"""The SQL that Python runs: named queries, kept in ``.sql`` files that a DBA can read."""

import re
from functools import cache
from pathlib import Path

from psycopg import sql

SQL_FOLDER = Path(__file__).parents[1] / "sql"
_HEADER = re.compile(r"^-- name: (\w+)[ \t]*\n", re.MULTILINE)


def query(name: str) -> sql.SQL:
    """Look up a query of ``sql/queries/``.

    Parameters
    ----------
    name : str
        What its ``-- name:`` line says.

    Returns
    -------
    sql.SQL
        The statement; ``{identifiers}`` in it are filled by ``.format()``.

    Raises
    ------
    KeyError
        If no file has a query of that name.
    """
    return sql.SQL(_queries()[name])


@cache
def _queries() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((SQL_FOLDER / "queries").glob("*.sql")):
        _, *parts = _HEADER.split(path.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"Two queries are named {name}; rename the one in {path}.")
            found[name] = text.strip().rstrip(";")
    return found
