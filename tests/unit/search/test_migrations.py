"""Reading migrations."""

from pathlib import Path

import pytest

from ml.errors import DatabaseError
from search.migrations import read_migrations


def test_migrations_are_numbered_from_one() -> None:
    found = read_migrations()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_migrations_with_gaps_or_doubles_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(DatabaseError, match="without gap or double"):
        read_migrations(tmp_path)


def test_checksum_changes_with_the_text(tmp_path: Path) -> None:
    path = tmp_path / "0001_a.sql"
    path.write_text("SELECT 1;")
    before = read_migrations(tmp_path)[0].sha256
    path.write_text("SELECT 2;")
    assert read_migrations(tmp_path)[0].sha256 != before
