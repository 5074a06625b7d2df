"""Every query of `docs/sql.md` runs, for an analyst, and nothing that analysts have is left out.

So do the five questions of `docs/questions.sql`.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.conninfo import make_conninfo

from search.access import add_login
from search.database import Database
from search.index import record_metrics
from search.server import psql_path
from search.switching import activate_whole
from tests.integration.search.conftest import Catalogue, make_catalogue, make_frame

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
GENRES = ("rock", "folk", "ambient", "jazz", "hip hop", "electronic")


@pytest.fixture(scope="module")
def analyst(copy_database: "CopyDatabase") -> Iterator[Database]:
    """Serve tracks with the ids and labels of the demo, by two versions; an analyst's login."""
    versions = [rename(make_catalogue(122, seed=seed)) for seed in (0, 1)]
    with copy_database("migrated") as database:
        for number, catalogue in enumerate(versions, 1):
            catalogue.serve(database, number)
            activate_whole(database, number)
            record_metrics(database, number, {"genre": {"paper": 0.6, "xt": 0.4}})
        add_login(database, "reader", "analyst", password="x")
        yield Database(make_conninfo(database.url, user="reader"))
        with database.connect() as connection:
            connection.execute("DROP ROLE reader")


def rename(drawn: Catalogue) -> Catalogue:
    """Name the tracks as the demo does; the second is a copy of the first."""
    names = [f"demo_{number:03d}" for number in range(1, 123)]
    embeddings = dict(zip(names, drawn.embeddings.values(), strict=True))
    embeddings["demo_002"] = embeddings["demo_001"]
    labels: dict[str, Any] = {
        "genres": [(GENRES[number % 6],) for number in range(122)],
        "moods": [("calm",) if number % 2 else () for number in range(122)],
        "artist": [f"Artist {number % 9}" for number in range(122)],
        "split": "test",
    }
    return Catalogue(make_frame(names).assign(**labels), embeddings)


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_documented_query_runs_and_finds_something(analyst: Database, number: int) -> None:
    with analyst.connect() as connection:
        assert connection.execute(QUERIES[number].encode()).fetchall()


def test_documentation_names_all_that_analysts_have(analyst: Database) -> None:
    with analyst.connect() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind = 'v' AND has_table_privilege(oid, 'SELECT')"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND prosecdef AND has_function_privilege(oid, 'EXECUTE')"
        ).fetchall()
    inner = {"resolve_version", "kept_models"}
    headings = set(re.findall(r"^### (\w+)", TEXT, re.MULTILINE))
    assert headings == {name for (name,) in rows} - inner


def test_every_question_is_answered(analyst: Database) -> None:
    options = ["-X", "-v", "ON_ERROR_STOP=1", "-f", str(DOCS / "questions.sql")]
    command = [str(psql_path()), *options, analyst.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.findall(r"\((\d+) rows?\)", done.stdout) == ["5"] * 5
