"""Five variables decide where data comes from and goes to."""

from pathlib import Path

import pytest

from ml.environment import Environment
from ml.errors import SoundalikeError

VARIABLES = ("DATA_DIR", "CATALOG", "DATABASE_URL", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults_lie_under_var(tmp_path: Path) -> None:
    environment = Environment()
    root = tmp_path / "var"
    assert environment.root == root
    assert environment.manifest == str(root / "samples" / "tracks.csv")
    assert environment.tracking_uri == f"sqlite:///{root}/mlflow/mlflow.db"
    assert environment.dagster_folder == root / "dagster"
    assert environment.database_url == ""


def test_variables_override_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"mine/{name}")
    environment = Environment()
    assert environment.root == tmp_path / "mine" / "DATA_DIR"
    assert environment.manifest == str(tmp_path / "mine" / "CATALOG")
    assert environment.database_url == "mine/DATABASE_URL"
    assert environment.tracking_uri == "mine/MLFLOW_TRACKING_URI"
    assert environment.dagster_folder == tmp_path / "mine" / "DAGSTER_HOME"


def test_everything_follows_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATA_DIR", "elsewhere")
    environment = Environment()
    assert environment.manifest == str(tmp_path / "elsewhere" / "samples" / "tracks.csv")
    assert str(tmp_path / "elsewhere") in environment.tracking_uri
    assert environment.dagster_folder == tmp_path / "elsewhere" / "dagster"


def test_empty_variables_count_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Environment()
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert Environment() == bare


def test_catalogue_on_another_file_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG", "s3://bucket/tracks.csv")
    assert Environment().manifest == "s3://bucket/tracks.csv"


@pytest.mark.parametrize("url", ["s3://bucket/data", "gs://bucket"])
def test_state_on_another_file_system_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATA_DIR", url)
    with pytest.raises(SoundalikeError, match=f"DATA_DIR is {url}, a URL: set it to a folder"):
        _ = Environment().root


def test_addresses_that_hold_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden@host/db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hidden@host")
    assert "hidden" not in repr(Environment())
    assert "hidden" not in str(Environment())
