"""Experiments and the model registry on a real MLflow, its store an SQLite file."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from matplotlib.figure import Figure

from ml.encoders import RandomEncoder, load_encoder, save_encoder
from ml.errors import RegistryError
from ml.registry import ModelVersion, Registry, _without_password

if TYPE_CHECKING:
    from tests.integration.conftest import Home

INITIALISE = """
import sys
from pathlib import Path
from ml.registry import Registry
registry = Registry(f"sqlite:///{sys.argv[1]}/mlflow.db", Path(sys.argv[1]))
with registry.start_run("run", sys.argv[2]) as run:
    run.log_metrics({"loss": 1.0})
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from ml.registry import Registry
registry = Registry(f"sqlite:///{sys.argv[1]}/mlflow.db", Path(sys.argv[1]))
with registry.start_run("run", "same"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Initialise one store for the tests that need none of their own."""
    return connect(tmp_path_factory.mktemp("mlflow") / "store")


def connect(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder}/mlflow.db", folder)


def status(registry: Registry, run_id: str) -> str:
    return str(registry._client.get_run(run_id).info.status)


def keep_encoder(registry: Registry, fingerprint: str, folder: Path) -> str:
    """Make a run that holds an encoder's files."""
    save_encoder(RandomEncoder(), folder)
    with registry.start_run("random", fingerprint) as run:
        run.log_encoder(folder)
    return run.run_id


def test_fresh_store_is_initialised_by_three_processes_at_once(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", INITIALISE, str(tmp_path), str(n)] for n in range(3)]
    processes = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    registry = connect(tmp_path)
    assert all(registry.find_run(str(number)) for number in range(3))


def test_store_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", INITIALISE, str(tmp_path), "0"])
    while not any(path.stat().st_size for path in tmp_path.glob("mlflow.db*")):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert connect(tmp_path).find_run("0") is None
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_run_keeps_params_metrics_tables_and_figures(empty: Registry) -> None:
    table = pd.DataFrame({"encoder": ["random"], "map": [0.25]})
    with empty.start_run("kept", "kept") as run:
        run.log_params({"epochs": 2, "effects": {"pitch": 3.0}})
        run.log_metrics({"loss": 0.5, "map": 0.1}, step=0)
        run.log_metrics({"loss": 0.25, "map": 0.2}, step=1)
        run.log_tags({"kind": "test"})
        run.log_table(table, "table")
        run.log_figure(Figure(), "figure")
    found = empty._client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"epochs": "2", "effects.pitch": "3.0"}
    assert found.data.tags["kind"] == "test"
    pd.testing.assert_frame_equal(
        empty.read_history(run.run_id), pd.DataFrame({"loss": [0.5, 0.25], "map": [0.1, 0.2]})
    )
    kept = {file.path for file in empty._client.list_artifacts(run.run_id)}
    assert kept == {"table.json", "figure.png"}


def test_run_is_found_by_its_fingerprint_once_finished(empty: Registry) -> None:
    assert empty.find_run("sought") is None
    with empty.start_run("sought", "sought") as run:
        assert empty.find_run("sought") is None
    found = empty.find_run("sought")
    assert found is not None
    assert found.run_id == run.run_id


def test_run_that_raises_is_failed(empty: Registry) -> None:
    with pytest.raises(ZeroDivisionError), empty.start_run("fails", "fails") as run:
        raise ZeroDivisionError
    assert status(empty, run.run_id) == "FAILED"
    assert empty.find_run("fails") is None


@pytest.mark.parametrize("fingerprint", ["same", "another"])
def test_run_that_was_killed_is_closed_by_the_next(tmp_path: Path, fingerprint: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    registry = connect(tmp_path)
    (stale,) = registry._search_runs("same", "RUNNING")
    with registry.start_run(f"of {fingerprint}", fingerprint) as run:
        assert status(registry, stale) == "KILLED"
    assert status(registry, run.run_id) == "FINISHED"


def test_run_that_is_alive_is_not_closed_by_another(tmp_path: Path) -> None:
    registry = connect(tmp_path)
    with registry.start_run("one", "one") as one, connect(tmp_path).start_run("other", "other"):
        assert status(registry, one.run_id) == "RUNNING"
    assert status(registry, one.run_id) == "FINISHED"


def test_run_of_another_machine_is_not_closed(tmp_path: Path) -> None:
    registry = connect(tmp_path / "here")
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "here")], check=False)
    (unknown,) = registry._search_runs("same", "RUNNING")
    shutil.rmtree(tmp_path / "here" / "running")  # as if its lock had been held elsewhere
    with registry.start_run("another", "another"):
        assert status(registry, unknown) == "RUNNING"


def test_register_gives_a_run_one_version(empty: Registry, tmp_path: Path) -> None:
    first = keep_encoder(empty, "first", tmp_path / "first")
    second = keep_encoder(empty, "second", tmp_path / "second")
    version = empty.register(first, "first")
    assert empty.register(first, "first") == version
    assert version.fingerprint == "first"
    following = empty.register(second, "second")
    assert following.number == version.number + 1
    assert empty.list_versions()[:2] == [following, version]
    assert empty.find_version(version.number) == version


def test_version_that_is_not_there_is_one_clear_line(empty: Registry) -> None:
    with pytest.raises(RegistryError, match=r"no version 999 .* materialise `candidate_model`"):
        empty.find_version(999)


def test_promote_moves_the_alias_and_export_follows_it(tmp_path: Path) -> None:
    registry = connect(tmp_path / "store")
    assert registry.find_production() is None
    with pytest.raises(RegistryError, match="No model is in production yet: run `make pipeline`"):
        registry.export_production(tmp_path / "export")
    assert not (tmp_path / "export").exists()
    versions = [register_encoder(registry, name, tmp_path / name) for name in ("a", "b")]
    for version in versions:
        registry.promote(version)
        assert registry.find_production() == version
        assert registry.export_production(tmp_path / "export") == version
    assert isinstance(load_encoder(tmp_path / "export"), RandomEncoder)


def register_encoder(registry: Registry, name: str, folder: Path) -> ModelVersion:
    return registry.register(keep_encoder(registry, name, folder), name)


def test_artifacts_lie_below_the_folder_wherever_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    registry = connect(tmp_path / "store")
    run_id = keep_encoder(registry, "kept", tmp_path / "encoder")
    kept = tmp_path / "store" / "artifacts" / run_id / "artifacts" / "encoder"
    assert sorted(path.name for path in kept.iterdir()) == ["encoder.json", "encoder.safetensors"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_store_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(RegistryError, match="unset MLFLOW_TRACKING_URI"):
        connect(tmp_path)


def test_password_of_the_store_is_not_shown() -> None:
    shown = _without_password("postgresql://someone:secret@127.0.0.1:1/mlflow")
    assert shown == "postgresql://127.0.0.1:1/mlflow"
    assert _without_password("sqlite:////a/b@c/mlflow.db") == "sqlite:////a/b@c/mlflow.db"


def test_exported_encoder_is_the_one_that_was_trained(finished: "Home", tmp_path: Path) -> None:
    version = finished.registry().export_production(tmp_path / "new" / "export")
    record = finished.workspace.load_record("candidate_model")
    assert version.number == record["version"]
    for name in ("encoder.json", "encoder.safetensors"):
        exported = (tmp_path / "new" / "export" / name).read_bytes()
        assert exported == (Path(record["folder"]) / name).read_bytes()
