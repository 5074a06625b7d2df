"""Names of databases, and addresses that are none."""

import pytest

from ml.errors import DatabaseError
from search.database import Database


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me:secret@db.example:5433/music", "music on db.example:5433"),
        ("host=db.example password=secret dbname=music", "music on db.example"),
        ("postgresql:///music", "music on the local socket"),
    ],
)
def test_name_says_where_and_not_the_password(url: str, name: str) -> None:
    assert Database(url).name == name
    assert "secret" not in repr(Database(url))


@pytest.mark.parametrize("url", ["mysql+x://me:secret@host/db", "postgresql://me:secret@[bad/db"])
def test_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(DatabaseError, match="postgresql://user@host:port/database") as caught:
        Database(url).connect()
    assert "secret" not in str(caught.value)


def test_address_goes_to_other_programs_by_variables() -> None:
    found = Database("postgresql://me:s%40cret@host:1/music?sslmode=require").variables
    assert found == {
        "PGUSER": "me",
        "PGPASSWORD": "s@cret",
        "PGHOST": "host",
        "PGPORT": "1",
        "PGDATABASE": "music",
        "PGSSLMODE": "require",
    }
