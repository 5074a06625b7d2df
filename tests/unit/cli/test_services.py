"""Processes that are started, watched and stopped together."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cli import services
from cli.services import Service, serve, stop
from ml.errors import SoundalikeError
from tests.ports import free_port

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
LISTENER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(600)
"""
SERVER = """
import sys
from pathlib import Path
from cli.services import Service, serve
listener, port, folder = sys.argv[1:]
command = (sys.executable, "-c", listener, port)
serve([Service("listener", command, int(port))], Path(folder))
"""


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)


def read_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def close(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.communicate(timeout=30)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stop_ends_processes_and_their_children() -> None:
    processes = [start(PARENT) for _ in range(2)]
    children = [int(read_line(process)) for process in processes]
    assert all(lives(child) for child in children)
    stop(processes)
    assert [process.returncode for process in processes] == [-signal.SIGTERM] * 2
    wait_until(lambda: not any(lives(child) for child in children))
    close(*processes)


def test_stop_ends_a_stubborn_process_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "STOP_SECONDS", 0.3)
    process = start(STUBBORN)
    assert read_line(process) == "ready"
    stop([process])
    assert process.returncode == -signal.SIGKILL
    close(process)


def test_stop_of_what_has_ended_does_nothing() -> None:
    process = start("print()")
    assert read_line(process) == ""
    process.wait()
    stop([process])
    assert process.returncode == 0
    close(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stops_everything_when_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    port = free_port()
    server = start(SERVER, LISTENER, str(port), str(tmp_path / "logs"))
    assert read_line(server) == f"listener  http://127.0.0.1:{port}"
    (listener,) = psutil.Process(server.pid).children()
    server.send_signal(number)
    output, _ = server.communicate(timeout=30)
    assert server.returncode == 0
    assert output.decode().splitlines()[-2:] == ["Stopping ...", "Stopped."]
    assert not lives(listener.pid)
    assert (tmp_path / "logs" / "listener.log").exists()


def test_serve_ends_when_a_service_does(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    others = psutil.Process().children()  # such as the servers that fork workers for other tests
    going = Service("going", (sys.executable, "-c", "import time; time.sleep(600)"))
    ending = Service("ending", (sys.executable, "-c", "print('why it ended')"))
    try:
        with pytest.raises(SoundalikeError, match=r"ending ended by itself: read .*ending\.log"):
            serve([going, ending], tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "ending.log").read_text() == "why it ended\n"
    assert set(psutil.Process().children()) <= set(others)


def test_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(SoundalikeError, match=f"Port {port} is taken by another program"):
            services._require_free_ports([Service("page", ("true",), port)])
    services._require_free_ports([Service("daemon", ("true",))])
