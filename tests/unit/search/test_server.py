"""The server's address."""

from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from search.server import server_url

SOCKET_LIMIT = 107  # bytes of a Unix socket's path


def test_url_is_short_whatever_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("long name with spaces " * 10)
    host = str(conninfo_to_dict(server_url(folder))["host"])
    assert len(f"{host}/.s.PGSQL.5432") <= SOCKET_LIMIT
    assert not folder.exists()


def test_url_is_one_for_a_folder_however_it_is_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert server_url(tmp_path / "x" / ".." / "folder") == server_url(tmp_path / "folder")
    assert server_url(tmp_path / "link") == server_url(tmp_path / "folder")
    assert server_url(tmp_path / "other") != server_url(tmp_path / "folder")
