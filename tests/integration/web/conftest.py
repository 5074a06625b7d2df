"""The web server as a user starts it, on a finished pipeline of a tiny catalogue."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from ml.baseline import WHITENED, BaselineSettings, fit_baseline
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.embedding import read_batches
from ml.encoders import save_encoder
from ml.splits import split_tracks
from search.publication import index_production, publish_windows
from search.switching import activate_whole
from tests.ports import free_port
from tests.sharing import make_once

if TYPE_CHECKING:
    from tests.integration.conftest import Home

START_SECONDS = 120
API = "/api/v1"


@dataclass(frozen=True)
class Site:
    """A server that answers."""

    port: int
    home: "Home"
    log: Path
    spool: Path
    """Its temporary folder."""
    pid: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:  # noqa: ANN401
        """Send a request to the API."""
        return requests.request(method, self.url + API + path, timeout=60, **options)

    def search(self, **wanted: object) -> dict[str, Any]:
        """Search by JSON; the answer, which must be one."""
        answer = self.ask("POST", "/searches", json=wanted)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def upload(self, content: bytes, **fields: object) -> requests.Response:
        """Search by a file."""
        return self.ask("POST", "/searches", files={"file": ("music", content)}, data=fields)

    @property
    def spooled(self) -> list[Path]:
        """What it keeps in its temporary folder, but for the socket of its server of forks."""
        return [path for path in self.spool.iterdir() if not path.name.startswith("pymp-")]

    @property
    def ids(self) -> list[str]:
        """Ids of the served tracks."""
        found = self.ask("GET", "/tracks?limit=100").json()["tracks"]
        return sorted(track["track_id"] for track in found)

    def file(self, track_id: str) -> bytes:
        """Read a track's original file."""
        return (self.home.manifest.parent / f"{track_id}.wav").read_bytes()


@contextmanager
def serve(home: "Home", folder: Path, awaited: str = "/readyz", **variables: str) -> Iterator[Site]:
    """Run `soundalike serve` until the block ends; Ctrl-C must end it well.

    Who uploads nothing need not wait until uploads are warm: `/healthz` answers before.
    """
    spool = folder / "spool"
    spool.mkdir(parents=True)
    port, log = free_port(), folder / "serve.log"
    from tests.integration.conftest import PROGRAMS

    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAMS / "soundalike", "serve", "--port", str(port)],
            env={**home.variables, "TMPDIR": str(spool), **variables},
            stdout=output,
            stderr=output,
        )
    try:
        _wait(f"http://127.0.0.1:{port}{awaited}", process, log)
        yield Site(port, home, log, spool, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    assert status == 0, log.read_text()


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            answer = requests.get(address, timeout=10)
        except requests.ConnectionError:
            time.sleep(0.2)
            continue
        if answer.status_code == 200:
            return
        time.sleep(0.2)


@pytest.fixture(scope="session")
def stocked(catalogue_file: Path, tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Publish the tiny catalogue by two encoders, fitted in a second each; version 1 is active."""
    from tests.integration.conftest import Home

    def make(folder: Path) -> None:
        stock(Home(folder / "data", catalogue_file))

    name = f"stocked_{catalogue_file.parent.name}"
    whole = Home(make_once(tmp_path_factory, name, make) / "data", catalogue_file)
    return whole.copy(tmp_path_factory.mktemp("site") / "data")


def stock(home: "Home") -> None:
    """Publish a home's catalogue by two encoders; version 1 is active."""
    workspace = home.workspace
    tracks = split_tracks(read_catalog(str(home.manifest)).tracks)
    workspace.save_table("tracks", tracks)
    extract_clips(tracks, workspace.store, range(100), n_jobs=2)
    with home.database() as database:
        database.migrate()
        register(home, WHITENED)
        workspace.save_record("baseline_model", {"run_id": register(home, BaselineSettings())})
        for version in (2, 1):
            workspace.save_record("production_model", {"version": version})
            publish_windows(database, home.registry(), workspace, range(100))
            index_production(database, workspace)
            activate_whole(database, version)


def register(home: "Home", settings: BaselineSettings) -> str:
    """Fit an encoder, and make it the next version; its run."""
    registry, workspace = home.registry(), home.workspace
    clips = workspace.store.read_clips(range(100))
    folder = workspace.model_folder("baseline", "tested")
    save_encoder(fit_baseline(read_batches(workspace.store, clips), settings), folder)
    with registry.start_run("baseline", str(settings)) as run:
        run.log_encoder(folder)
    return registry.register(run.run_id, str(settings)).run_id


@pytest.fixture(scope="session")
def site(stocked: "Home", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve it without tokens. What tests change, they change back."""
    with serve(stocked, tmp_path_factory.mktemp("server"), API_UPLOADS_AT_ONCE="8") as site:
        yield site
