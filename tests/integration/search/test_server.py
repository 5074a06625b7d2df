"""The embedded server under everything that may happen to it."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from ml.errors import DatabaseError
from search import cluster
from search.binaries import as_ordinary_user
from search.database import open_database
from search.server import embedded_server, psql_path, server_url

USER = """
import sys
from pathlib import Path
from search.server import embedded_server
with embedded_server(Path(sys.argv[1])) as url:
    sys.stdout.write(url + "\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Set a server up once; the tests that need no set-up of their own copy its folder."""
    folder = tmp_path_factory.mktemp("stopped")
    with embedded_server(folder):
        pass
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Name a folder that does not exist yet."""
    return tmp_path / "folder with spaces" / "postgres"


@pytest.fixture
def folder(fresh: Path, stopped: Path) -> Path:
    """Give a folder of a server that is not running."""
    shutil.copytree(stopped, fresh)
    return fresh


def start_user(folder: Path, *prefix: str) -> subprocess.Popen[str]:
    """Start a process that uses the server until its input closes."""
    command = [*prefix, sys.executable, "-c", USER, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_ready(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def leave(user: subprocess.Popen[str]) -> None:
    try:
        user.communicate(timeout=300)
    finally:
        user.kill()  # nothing, where it has ended
    assert user.returncode == 0


def kill(user: subprocess.Popen[str]) -> None:
    user.kill()
    user.communicate(timeout=300)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_server_lives_as_long_as_the_block(folder: Path) -> None:
    with embedded_server(folder) as url:
        assert url == server_url(folder)
        with embedded_server(folder) as again:
            assert again == url
        assert answers(url)
    assert not answers(url)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_server_keeps_its_data_when_killed(folder: Path) -> None:
    with embedded_server(folder) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postmaster(folder), signal.SIGKILL)
        with embedded_server(folder) as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert not answers(url)


def test_server_serves_two_processes_that_start_it_at_once(fresh: Path) -> None:
    users = [start_user(fresh) for _ in range(2)]
    urls = {wait_ready(user) for user in users}
    assert len(urls) == 1
    url = urls.pop()
    leave(users[0])
    assert answers(url), "the second user is still there"
    leave(users[1])
    assert not answers(url)


def test_server_of_a_killed_user_is_adopted(folder: Path) -> None:
    user = start_user(folder)
    url = wait_ready(user)
    kill(user)
    assert answers(url)
    before = postmaster(folder)
    with embedded_server(folder):
        assert postmaster(folder) == before
    assert not answers(url)


def test_server_survives_the_death_of_one_user_of_two(folder: Path) -> None:
    user = start_user(folder)
    wait_ready(user)
    with embedded_server(folder) as url:
        kill(user)
        assert answers(url)
    assert not answers(url)


def test_server_leaves_the_server_of_another_project_alone(
    folder: Path, stopped: Path, tmp_path: Path
) -> None:
    other = tmp_path / "another project" / "postgres"
    shutil.copytree(stopped, other)
    with embedded_server(other) as theirs:
        with psycopg.connect(theirs) as connection:
            connection.execute("CREATE TABLE theirs ()")
        with embedded_server(folder) as ours:
            assert ours != theirs
            with psycopg.connect(ours) as connection:
                row = connection.execute("SELECT to_regclass('theirs')").fetchone()
            assert row == (None,)
        assert not answers(ours)
        assert answers(theirs)


def test_server_does_not_mind_a_port_that_is_taken(folder: Path) -> None:
    with socket.socket() as listener:
        with contextlib.suppress(OSError):  # then another program listens there already
            listener.bind(("127.0.0.1", cluster.PORT))
            listener.listen()
        with embedded_server(folder) as url:
            assert answers(url)


def test_server_starts_in_a_folder_of_a_long_path(stopped: Path, tmp_path: Path) -> None:
    long = tmp_path.joinpath(*["a folder of quite a long name"] * 8) / "postgres"
    assert len(str(long)) > 200, "a socket's path may have 107 characters"
    shutil.copytree(stopped, long)
    with embedded_server(long) as url:
        assert answers(url)


def test_server_runs_for_an_ordinary_user(folder: Path) -> None:
    user = start_user(folder, *as_ordinary_user())  # no prefix where this is one
    url = wait_ready(user)
    assert url
    leave(user)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_server_starts_after_being_killed_during_set_up(fresh: Path) -> None:
    user = start_user(fresh)
    wait_until(lambda: any(fresh.glob("data*/PG_VERSION")))
    kill(user)
    with embedded_server(fresh) as url:
        assert answers(url)


def test_server_ignores_a_pid_that_now_belongs_to_another_program(folder: Path) -> None:
    with embedded_server(folder):
        pid_file = (folder / "data" / "postmaster.pid").read_text()
    stale = "\n".join([str(os.getpid()), *pid_file.splitlines()[1:]])
    (folder / "data" / "postmaster.pid").write_text(stale)
    with embedded_server(folder) as url:
        assert answers(url)


def test_server_leaks_no_descriptor_into_children(folder: Path) -> None:
    with embedded_server(folder):
        done = subprocess.run(
            [sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"],
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
        links = [str(Path(f"/proc/{postmaster(folder)}/fd/{n}").readlink()) for n in range(3)]
    assert "lock" not in done.stdout
    assert not any(link.startswith("pipe:") for link in links)


def test_server_of_another_version_names_both_ways_out(fresh: Path) -> None:
    (fresh / "data").mkdir(parents=True)
    (fresh / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(DatabaseError, match=r"PostgreSQL 16 .* dump .* pipeline again"):
        embedded_server(fresh).__enter__()


def test_server_refuses_a_folder_that_is_not_its_own(fresh: Path) -> None:
    (fresh / "data").mkdir(parents=True)
    with pytest.raises(DatabaseError, match="not a PostgreSQL data folder"):
        embedded_server(fresh).__enter__()


# In a namespace of mounts of its own: the disk is a memory of that size, and gone with the process.
ON_A_DISK = """
import shutil, subprocess, sys
from pathlib import Path
from ml.errors import DatabaseError
from search.database import open_database
folder, size, statement = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
folder.mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder], check=True)
try:
    with open_database(None, folder) as database:
        database.migrate()
        used = shutil.disk_usage(folder).used // 2**20 + 3
        subprocess.run(["mount", "-o", f"remount,size={used}m", folder], check=True)
        with database.transaction() as connection:
            connection.execute(statement)
except DatabaseError as error:
    sys.stdout.write(str(error))
"""
FILLS = {
    "a table": "CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)",
    "the log": "UPDATE tracks SET title = title; INSERT INTO denylist"
    " SELECT n::text, 'x' FROM generate_series(1, 300000) n",
}


def run_on_a_disk(folder: Path, megabytes: int, statement: str) -> str:
    """Run a statement on a disk of which three megabytes are left; what the user is told."""
    command = ["unshare", "--map-root-user", "--mount", sys.executable, "-c", ON_A_DISK]
    if subprocess.run([*command[:3], "true"], check=False, capture_output=True).returncode:
        pytest.skip("This system allows no namespaces, so that no small disk can be made.")
    arguments = [str(folder), str(megabytes), statement]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_server_asks_for_disk_space(fresh: Path) -> None:
    said = run_on_a_disk(fresh, 64, "SELECT 1")
    assert re.fullmatch(r"Only \d\d MB are free .* or set DATA_DIR to a larger disk\.", said)


@pytest.mark.parametrize("filled", FILLS)
def test_disk_that_fills_up_is_one_clear_line(fresh: Path, filled: str) -> None:
    said = run_on_a_disk(fresh, 700, FILLS[filled])
    assert re.fullmatch(r".*\. Only \d MB are free .* or set DATA_DIR to a larger disk\.", said)
    assert "\n" not in said


def test_server_tells_why_it_does_not_start(folder: Path) -> None:
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseError, match=r"does not start: .*configuration file"):
        embedded_server(folder).__enter__()


def test_server_refuses_a_socket_folder_that_is_open_to_others(fresh: Path) -> None:
    sockets = cluster.Cluster(fresh.resolve()).socket_folder
    sockets.mkdir()
    sockets.chmod(0o755)
    try:
        with pytest.raises(DatabaseError, match="open to other users"):
            embedded_server(fresh).__enter__()
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def test_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="cannot be used"):
        embedded_server(tmp_path / "file" / "postgres").__enter__()


def test_psql_asks_the_server(database_url: str) -> None:
    command = [str(psql_path()), "-X", "-A", "-t", "-c", "SELECT 6 * 7", database_url]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"


def test_open_database_with_a_url_starts_no_server(database_url: str, tmp_path: Path) -> None:
    with (
        open_database(database_url, tmp_path) as database,
        psycopg.connect(database.url) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not list(tmp_path.iterdir())


def test_open_database_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/music"
    with pytest.raises(DatabaseError) as caught:
        open_database(url, tmp_path).__enter__()
    message = str(caught.value)
    assert "music on 127.0.0.1:1 does not answer" in message
    assert "DATABASE_URL" in message
    assert "secret" not in message
    assert "\n" not in message
