"""`soundalike db`, by real processes on a home in which nothing has run."""

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from search.database import Database
from search.keeper import find_keeper
from search.migrations import read_migrations
from search.server import is_running, server_url
from tests.integration.conftest import Home

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home(tmp_path: Path) -> "Iterator[Home]":
    home = Home(tmp_path / "my data", tmp_path / "tracks.csv")
    yield home
    pid = find_keeper(home.root / "postgres")
    if pid is not None:  # a test that failed
        os.kill(pid, signal.SIGTERM)


def run(home: Home, *command: str, **variables: str) -> str:
    done = home.run("soundalike", "db", *command, **variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_server_is_up_until_it_is_told_down(home: Home) -> None:
    folder = home.root / "postgres"
    done = home.run("soundalike", "db", "status")
    assert done.returncode != 0
    assert "not running: `soundalike db up` starts it" in done.stdout
    assert not folder.exists(), "asking starts nothing"

    url = server_url(folder)
    assert url in run(home, "up")
    assert run(home, "up").startswith("The database runs at"), "twice is once"
    keeper = find_keeper(folder)
    assert keeper is not None
    assert "Nothing to apply" in run(home, "migrate")
    assert "may log in" in run(home, "login", "ann", "--role", "analyst")
    with psycopg.connect(url, user="ann") as connection:
        assert connection.execute("SELECT count(*) FROM catalogue").fetchone() == (0,)
    assert "ef_search is 400. Searches follow it" in run(home, "set", "ef_search", "400")
    assert searched_broadly(url) == 400
    assert "ef_search is 100 again" in run(home, "set", "ef_search")
    assert searched_broadly(url) == 100
    refused = home.run("soundalike", "db", "set", "ef_search", "2000")
    assert refused.returncode != 0
    assert "from 1 to 1000, not 2000" in refused.stdout
    assert "set one of ef_search, hnsw_m" in home.run("soundalike", "db", "set", "ef", "9").stdout
    found = json.loads(run(home, "status", "--json"))
    assert (found["pending"], found["has_roles"], found["models"]) == ([], True, [])
    assert "It is kept running by `db up`" in run(home, "status")

    assert "stops with its last user" in run(home, "down")
    assert find_keeper(folder) is None
    assert not is_running(folder)
    assert "No server was left running" in run(home, "down")


def searched_broadly(url: str) -> int:
    with psycopg.connect(url) as connection:
        return int(connection.execute("SELECT least_breadth(1)").fetchall()[0][0])


def test_server_goes_on_after_its_keeper_was_killed(home: Home) -> None:
    folder = home.root / "postgres"
    run(home, "up")
    keeper = find_keeper(folder)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    assert "No server was left running" in run(home, "down")
    assert is_running(folder), "nobody was told to stop it"
    run(home, "up")
    assert find_keeper(folder) not in (None, keeper)
    run(home, "down")
    assert not is_running(folder)


def test_server_of_ones_own_is_left_alone(home: Home, empty_database: Database) -> None:
    url = empty_database.url
    for command in ("up", "down"):
        done = home.run("soundalike", "db", command, DATABASE_URL=url)
        assert done.returncode != 0
        assert "DATABASE_URL names a server of your own" in done.stdout
    found = json.loads(run(home, "status", "--json", DATABASE_URL=url))
    assert found["pending"] == [migration.name for migration in read_migrations()]
    applied = run(home, "migrate", DATABASE_URL=url)
    assert applied.count("Applied 0") == len(read_migrations())
    assert "set up" in run(home, "roles", DATABASE_URL=url)
    assert not (home.root / "postgres").exists()
