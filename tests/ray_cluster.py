"""A small Ray cluster of the test's own."""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port

ATTEMPTS = 4  # Ray gives up on a node that has not started within half a minute, which load may do


@dataclass(frozen=True)
class Cluster:
    """Where it is."""

    address: str
    dashboard: str


@contextmanager
def running_cluster(*, dashboard: bool = False, **variables: str) -> Iterator[Cluster]:
    """Start a cluster of one node with these environment variables, and stop it."""
    # Not below pytest's folders: a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_gcs_server_port_wait_time_s", "300")
        # Its own, or Ray would take one that it once wrote into the home folder.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with pytest.MonkeyPatch.context() as node_patch:
            for name, value in variables.items():
                node_patch.setenv(name, value)
            node, cluster = _start(folder, dashboard)
        processes = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        try:
            yield cluster
        finally:
            node.terminate()
            node.communicate()
            _, alive = psutil.wait_procs(processes, timeout=180)
            for one in alive:
                one.kill()
    assert not alive


def _start(folder: str, dashboard: bool) -> tuple["subprocess.Popen[str]", Cluster]:
    """Start a node in the foreground of a process: `ray stop` would end everybody's."""
    for _ in range(ATTEMPTS):
        port, page = free_port(), free_port()
        options = [f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        options += [f"--include-dashboard={str(dashboard).lower()}", f"--dashboard-port={page}"]
        options.append(f"--dashboard-agent-listen-port={free_port()}")
        size = ["--num-cpus=2", f"--object-store-memory={80 << 20}"]
        node = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", "--head", "--block", *options, *size],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert node.stdout
        said = []
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return node, Cluster(f"127.0.0.1:{port}", f"http://127.0.0.1:{page}")
        node.communicate()
    pytest.fail("".join(said))
