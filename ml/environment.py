"""The project's one environment: five variables, each with a default under ``var/``."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


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

    @property
    def root(self) -> Path:
        """Folder of all state, absolute."""
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
