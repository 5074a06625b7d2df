"""The project's one environment: where everything lies, and a few settings of its operation."""

import os
import re
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.errors import SoundalikeError

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # of its two slashes a path keeps one


class Environment(BaseSettings):
    """Where data comes from and goes to, read from the environment variables of the same names.

    Relative paths are taken from the working directory.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True)

    data_dir: Path = Field(default=Path("var"))
    catalog: str = ""
    database_url: str = Field(default="", repr=False)
    mlflow_tracking_uri: str = Field(default="", repr=False)
    dagster_home: str = ""
    alert_webhook: str = Field(default="", repr=False)
    """Where failed runs are posted; nowhere if empty."""
    growth_limit: float = Field(default=0.10, ge=0)
    """Share of tracks that are new to the model above which a new one is trained."""

    refresh_config: str = ""
    """Dagster's run configuration of every `refresh`, YAML; the defaults if empty."""
    mlflow_page: str = ""
    """Where people open MLflow, if that is not where programs reach it."""
    search_page: str = "http://127.0.0.1:8000"
    """Where people open the search page."""

    @property
    def root(self) -> Path:
        """Folder of all state, absolute.

        Raises
        ------
        SoundalikeError
            It is a URL.
        """
        if _URL.match(str(self.data_dir)):
            raise SoundalikeError(
                f"DATA_DIR is {os.environ.get('DATA_DIR', self.data_dir)}, a URL: set it to a "
                "folder of this machine (the manifest and its audio may lie on s3://)."
            )
        return self.data_dir.resolve()

    @property
    def manifest(self) -> str:
        """The catalogue's manifest; the sample catalogue's unless `CATALOG` is set."""
        if not self.catalog:
            return str(self.sample_folder / "tracks.csv")
        return self.catalog if "://" in self.catalog else str(Path(self.catalog).resolve())

    @property
    def sample_folder(self) -> Path:
        """Where the sample catalogue is written."""
        return self.root / "samples"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store; SQLite unless `MLFLOW_TRACKING_URI` is set."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def dagster_folder(self) -> Path:
        """Dagster's instance folder."""
        return Path(self.dagster_home).resolve() if self.dagster_home else self.root / "dagster"
