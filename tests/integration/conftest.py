"""A real Postgres, and a finished pipeline on a tiny catalogue, for the tests of every room."""

import csv
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psycopg
import pytest
import soundfile
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import make_conninfo

from ml.environment import Environment
from ml.registry import Registry
from ml.splits import assign_bucket, assign_split, hash_track
from ml.workspace import Workspace
from orchestration.definitions import defs
from orchestration.launch import prepare_instance
from orchestration.partitions import EVERY_BUCKET
from search.database import Database, open_database
from search.server import embedded_server
from tests.sharing import make_once

MIGRATED = "migrated"
CopyDatabase = Callable[[str], AbstractContextManager[Database]]

PROGRAMS = Path(sys.executable).parent
TRACKS = {"train": 26, "validation": 6, "test": 6}
TRAINING = {
    "epochs": 2,
    "patience": 2,
    "learning_rate": 2e-3,
    "tracks_per_minibatch": 16,
    "crops_per_track": 2,
    "steps_per_epoch": 8,
    "crop_seconds": 1.0,
    "timbre": 0,  # of tones that only rise and fall a mean spectrum says nothing
    "precision": "float32",  # what is measured may differ from run to run
}


@dataclass(frozen=True)
class Home:
    """All state of a project, and the catalogue that it is about."""

    root: Path
    manifest: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        own = {"DATA_DIR": str(self.root), "CATALOG": str(self.manifest)}
        own["DAGSTER_HOME"] = str(self.root / "dagster")
        foreign = ("DATABASE_URL", "MLFLOW_TRACKING_URI")
        return {k: v for k, v in os.environ.items() if k not in foreign} | own

    @property
    def workspace(self) -> Workspace:
        """Its tables and records."""
        return Workspace(self.root)

    def registry(self) -> Registry:
        """Connect to its MLflow."""
        return Registry(Environment(data_dir=self.root).tracking_uri, self.root / "mlflow")

    def database(self) -> AbstractContextManager[Database]:
        """Have its embedded server running."""
        return open_database(None, self.root)

    def instance(self) -> dg.DagsterInstance:
        """Open its Dagster instance."""
        return dg.DagsterInstance.from_config(str(self.root / "dagster"))

    def prepare(self) -> None:
        """Make its Dagster instance."""
        with self._environment():
            prepare_instance(Environment())

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Start a console script, in a session of its own."""
        return subprocess.Popen(
            [str(PROGRAMS / command[0]), *command[1:]],
            env={**self.variables, "COLUMNS": "200", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a console script to its end; both streams are in `stdout`."""
        process = self.start(*command, **variables)
        output, _ = process.communicate(timeout=560)
        return subprocess.CompletedProcess(command, process.returncode, output)

    def refresh(
        self, assets: Sequence[str] | None = None, **training: object
    ) -> dg.ExecuteInProcessResult:
        """Run the job, or some assets of it, in this process."""
        selection = [dg.AssetKey(name) for name in assets] if assets else None
        chosen = assets is None or "candidate_model" in assets
        with self._environment(), self.database(), self.instance() as instance:
            return defs.resolve_job_def("refresh").execute_in_process(
                run_config=run_config(**training) if chosen else None,
                instance=instance,
                tags=EVERY_BUCKET,
                asset_selection=selection,
                raise_on_error=False,
            )

    def copy(self, root: Path) -> "Home":
        """Copy it; what MLflow and the records keep as absolute paths is corrected."""
        shutil.copytree(self.root, root)
        for record in (root / "records").glob("*.json"):
            record.write_text(record.read_text().replace(str(self.root), str(root)))
        columns = ("experiments.artifact_location", "runs.artifact_uri", "model_versions.source")
        with sqlite3.connect(root / "mlflow" / "mlflow.db") as connection:
            for table, column in (name.split(".") for name in columns):
                statement = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                connection.execute(statement, (str(self.root), str(root)))
        connection.close()
        return Home(root, self.manifest)

    @contextmanager
    def _environment(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DATABASE_URL", "MLFLOW_TRACKING_URI"):
                patch.delenv(name, raising=False)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            yield


def run_config(**training: object) -> dict[str, Any]:
    """Configure a training of seconds."""
    return {
        "ops": {"candidate_model": {"config": TRAINING | training}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }


def synthesise(rising: bool, generator: np.random.Generator) -> NDArray[np.float64]:
    """Sweep a tone over and over, upwards or downwards, 12 s at 16 kHz.

    Statistics that forget the order in time, such as the baseline's, cannot tell the two apart.
    """
    sweep = (np.arange(12 * 16_000) / 16_000 / generator.uniform(0.4, 0.7)) % 1
    octaves = 1.5 * (sweep if rising else 1 - sweep)
    phase = 2 * np.pi * np.cumsum(generator.uniform(250, 700) * 2**octaves) / 16_000
    noise: NDArray[np.float64] = 0.002 * generator.normal(size=len(phase))
    for partial, amplitude in enumerate(generator.uniform(0.3, 1, 4), 1):
        noise += 0.1 * amplitude / partial * np.sin(partial * phase)
    return noise


def choose_ids() -> list[str]:
    """Find track ids of which enough hash into each split."""
    left, chosen = dict(TRACKS), []
    for number in itertools.count():
        track_id = f"tone_{number:03d}"
        split = assign_split(assign_bucket(hash_track(track_id)))
        if left[split]:
            left[split] -= 1
            chosen.append(track_id)
        if not any(left.values()):
            break
    return chosen


def write_manifest(folder: Path, rows: Sequence[Sequence[str]], columns: str = "") -> Path:
    """Write a manifest with these rows."""
    header = columns or "track_id,path,title,artist,album,genre,mood"
    with (folder / "tracks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return folder / "tracks.csv"


@pytest.fixture(scope="session")
def catalogue_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 38 tracks of rising and falling tones, a row without a file and a file of no sound."""
    return make_once(tmp_path_factory, "catalogue", write_tones) / "tracks.csv"


def write_tones(folder: Path) -> None:
    rows, seen = [], dict.fromkeys(TRACKS, 0)
    for number, track_id in enumerate(choose_ids()):
        split = assign_split(assign_bucket(hash_track(track_id)))
        rising, name = seen[split] % 2 == 0, f"{track_id}.wav"
        seen[split] += 1
        samples = synthesise(rising, np.random.default_rng(number))
        soundfile.write(folder / name, samples, 16_000, subtype="PCM_16")
        labels = ("rise", "tense") if rising else ("fall", "calm")
        rows.append((track_id, name, f"Tone [{number}]", f"Artist {number % 8}", "", *labels))
    (folder / "damaged.wav").write_bytes(b"no music")
    rows.append(("damaged", "damaged.wav", "Damaged", "Artist 0", "", "rise", "tense"))
    rows.append(("nowhere", "nowhere.wav", "Nowhere", "Artist 0", "", "rise", "tense"))
    write_manifest(folder, rows)


@pytest.fixture(scope="session")
def training_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write the run configuration."""
    path = tmp_path_factory.mktemp("configuration") / "training.yaml"
    path.write_text(json.dumps(run_config()))
    return str(path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, catalogue_file: Path) -> Home:
    """Run the whole job once, in this process. Tests that change it use a copy."""

    def run(folder: Path) -> None:
        home = Home(folder / "data", catalogue_file)
        home.prepare()
        assert home.refresh().success

    whole = Home(make_once(tmp_path_factory, "finished", run) / "data", catalogue_file)
    return whole.copy(tmp_path_factory.mktemp("finished") / "data")


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an embedded server, in a folder whose name is awkward; its superuser's URL."""
    folder = tmp_path_factory.mktemp("server") / 'it\'s a "data" $folder' / "postgres"
    with embedded_server(folder) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(MIGRATED)))
        Database(make_conninfo(url, dbname=MIGRATED)).migrate()
        yield url


@pytest.fixture(scope="session")
def copy_database(database_url: str) -> CopyDatabase:
    """Give a context manager that copies a database under a new name and drops the copy."""
    numbers = itertools.count(1)

    @contextmanager
    def copy(template: str) -> Iterator[Database]:
        name = f"test_{next(numbers)}"
        names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with psycopg.connect(database_url, autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE {name} TEMPLATE {template}")
            connection.execute(create.format(**names))
            yield Database(make_conninfo(database_url, dbname=name))
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))

    return copy


@pytest.fixture
def empty_database(copy_database: CopyDatabase) -> Iterator[Database]:
    """Make a database of the test's own, not migrated."""
    with copy_database("template1") as database:
        yield database


@pytest.fixture
def database(copy_database: CopyDatabase) -> Iterator[Database]:
    """Make a migrated database of the test's own."""
    with copy_database(MIGRATED) as database:
        yield database
