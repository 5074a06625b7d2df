"""Experiments and the model registry: the only module that imports MLflow.

A training run keeps its parameters, metrics, pictures and the encoder's files. Each encoder that
was trained becomes a version of one registered model; the alias `production` names the one that
the gate let through.
"""

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy.exc import SQLAlchemyError

from ml.environment import Environment
from ml.errors import RegistryError
from ml.locks import lock_file
from ml.run_locks import RunLocks

MODEL_NAME = "music-encoder"
PRODUCTION = "production"
EXPERIMENT = "soundalike"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Else MLflow's page opens on traces of language models."""
ENCODER_ARTIFACT = "encoder"
FINGERPRINT_TAG = "fingerprint"
ROLLED_BACK_TAG = "rolled_back"
"""Of a version that people went back from: when. Empty if it serves again."""
RUNS_PER_PAGE = 1000
LOCAL_PAGES = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class ModelVersion:
    """A version of the registered model."""

    number: int
    run_id: str
    fingerprint: str


@dataclass(frozen=True)
class Artifact:
    """A file that a run keeps, its path within the run's artifacts."""

    run_id: str
    path: str


# It tells of the tables of a fresh database and draws bars for files of a megabyte.
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class TrainingRun:
    """One run in the tracking server.

    Parameters
    ----------
    client : MlflowClient
        Connected.
    run_id : str
        Of the run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record hyperparameters; nested mappings become dotted names."""
        flat = pd.json_normalize(dict(params)).to_dict("records")[0]
        entities = [Param(str(name), str(value)) for name, value in flat.items()]
        self._client.log_batch(self.run_id, params=entities)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step."""
        now = int(time.time() * 1000)
        entities = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=entities)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Record facts about the run."""
        self._client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def log_table(self, table: pd.DataFrame, name: str) -> None:
        """Keep a table as an artifact that the MLflow UI shows."""
        self._client.log_table(self.run_id, table, f"{name}.json")

    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture."""
        self._client.log_figure(self.run_id, figure, f"{name}.png")

    def log_folder(self, folder: Path, name: str | None = None) -> None:
        """Keep a folder's files, in a folder of that name if one is given."""
        self._client.log_artifacts(self.run_id, str(folder), name)

    def log_encoder(self, folder: Path) -> None:
        """Keep an encoder's files."""
        self._client.log_artifacts(self.run_id, str(folder), ENCODER_ARTIFACT)


class Registry:
    """The tracking server and its model registry.

    Parameters
    ----------
    tracking_uri : str
        SQLite URL or server address.
    folder : Path
        Where artifacts go when the tracking server is a local database; also holds the lock under
        which a fresh database is initialised, since two processes at once would break it.
    pages : str
        Where people open MLflow. By default the server's address, or where `make dev` serves it.
    """

    def __init__(self, tracking_uri: str, folder: Path, pages: str = "") -> None:
        self._tracking_uri = tracking_uri
        self._pages = pages or (tracking_uri if tracking_uri.startswith("http") else LOCAL_PAGES)
        self._locks = RunLocks(folder / "running")
        with lock_file(folder / "initialise.lock"):
            try:
                _make_database(tracking_uri)
                self._client = MlflowClient(tracking_uri, tracking_uri)
                self._experiment_id = self._find_experiment(tracking_uri, folder)
            except (MlflowException, SQLAlchemyError) as error:
                raise RegistryError(
                    f"MLflow does not answer at {_without_password(tracking_uri)}: start it, "
                    "or unset MLFLOW_TRACKING_URI to use the local one."
                ) from error

    @classmethod
    def open(cls, environment: Environment) -> "Registry":
        """Connect to the one that an environment names."""
        return cls(environment.tracking_uri, environment.root / "mlflow", environment.mlflow_page)

    @contextmanager
    def start_run(self, name: str, fingerprint: str, parent: str = "") -> Iterator[TrainingRun]:
        """Open a run that ends as finished, or as failed if something is raised.

        Parameters
        ----------
        name : str
            Shown in the MLflow UI.
        fingerprint : str
            What the run computes.
        parent : str
            Run that it is shown below, if any.

        Yields
        ------
        TrainingRun
            Runs of the same, and runs of this machine whose process is gone, are closed first.
        """
        self._close_killed_runs(fingerprint)
        tags = {"mlflow.runName": name, FINGERPRINT_TAG: fingerprint}
        if parent:
            tags["mlflow.parentRunId"] = parent
        run_id = self._client.create_run(self._experiment_id, tags=tags).info.run_id
        try:
            with self._locks.hold(run_id):
                yield TrainingRun(self._client, run_id)
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id, "FINISHED")

    def open_run(self, run_id: str) -> TrainingRun:
        """Go back to a run, to add to it."""
        return TrainingRun(self._client, run_id)

    def find_run(self, fingerprint: str) -> TrainingRun | None:
        """Find the finished run that computed `fingerprint`, the latest if there are several."""
        found = self._search_runs(fingerprint, "FINISHED")
        return TrainingRun(self._client, found[0]) if found else None

    def link_run(self, run_id: str) -> str:
        """Name the address of a run's page."""
        server = _without_password(self._pages.rstrip("/"))
        return f"{server}/#/experiments/{self._experiment_id}/runs/{run_id}"

    def read_history(self, run_id: str) -> pd.DataFrame:
        """Read the metrics that a run reported at each step.

        Parameters
        ----------
        run_id : str
            Of the run.

        Returns
        -------
        pandas.DataFrame
            A row per step, a column per metric.
        """
        names = self._client.get_run(run_id).data.metrics
        series = {
            name: {
                metric.step: metric.value
                for metric in self._client.get_metric_history(run_id, name)
            }
            for name in sorted(names)
        }
        return pd.DataFrame(series).sort_index()

    def register(self, run_id: str, fingerprint: str) -> ModelVersion:
        """Make a run's encoder a version of the registered model, once.

        Parameters
        ----------
        run_id : str
            Of a run that holds the encoder's files.
        fingerprint : str
            Of the encoder.

        Returns
        -------
        ModelVersion
            The version that this run already had, or the new one.
        """
        known = [v for v in self.list_versions() if v.run_id == run_id]
        if known:
            return known[0]
        self._require_model()
        created = self._client.create_model_version(
            MODEL_NAME,
            f"{self._client.get_run(run_id).info.artifact_uri}/{ENCODER_ARTIFACT}",
            run_id,
            tags={FINGERPRINT_TAG: fingerprint},
        )
        return _to_version(created)

    def list_versions(self) -> list[ModelVersion]:
        """List the versions of the registered model, newest first."""
        found = self._client.search_model_versions(f"name='{MODEL_NAME}'", max_results=1000)
        return sorted((_to_version(v) for v in found), key=lambda v: -v.number)

    def find_version(self, number: int) -> ModelVersion:
        """Find a version by its number.

        Raises
        ------
        RegistryError
            There is none.
        """
        for version in self.list_versions():
            if version.number == number:
                return version
        raise RegistryError(
            f"MLflow has no version {number} of {MODEL_NAME}: materialise `candidate_model` and "
            "`production_model` again, or point MLFLOW_TRACKING_URI at the server that has it."
        )

    def find_production(self) -> ModelVersion | None:
        """Find the version that the alias `production` names, if any."""
        try:
            return _to_version(self._client.get_model_version_by_alias(MODEL_NAME, PRODUCTION))
        except MlflowException:
            return None

    def promote(self, version: ModelVersion) -> None:
        """Point the alias `production` at a version."""
        self._client.set_registered_model_alias(MODEL_NAME, PRODUCTION, str(version.number))

    def annotate(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Record facts about a version, such as the gate's verdict."""
        for key, value in tags.items():
            self._client.set_model_version_tag(MODEL_NAME, str(version.number), key, value)

    def read_tags(self, version: ModelVersion) -> dict[str, str]:
        """Read what `annotate` recorded."""
        found = self._client.get_model_version(MODEL_NAME, str(version.number))
        return dict(found.tags or {})

    @contextmanager
    def encoder_folder(self, version: ModelVersion) -> Iterator[Path]:
        """Fetch a version's encoder files into a temporary folder.

        Parameters
        ----------
        version : ModelVersion
            Registered.

        Yields
        ------
        Path
            Folder with the encoder's two files.
        """
        with tempfile.TemporaryDirectory() as folder:
            fetched = self._client.download_artifacts(version.run_id, ENCODER_ARTIFACT, folder)
            yield Path(fetched)

    def export_production(self, folder: Path) -> ModelVersion:
        """Copy the production encoder's files.

        Parameters
        ----------
        folder : Path
            Made if absent.

        Returns
        -------
        ModelVersion
            Whose files they are.

        Raises
        ------
        RegistryError
            No version is in production.
        """
        version = self.find_production()
        if version is None:
            raise RegistryError("No model is in production yet: run `make pipeline` first.")
        with self.encoder_folder(version) as files:
            shutil.copytree(files, folder, dirs_exist_ok=True)
        return version

    def find_artifacts(self, track_id: str, digest: str) -> list[Artifact]:
        """Find the files that runs keep of a track.

        Parameters
        ----------
        track_id, digest : str
            A file is the track's if a part of its path is the id, with or without an extension,
            or holds the digest.

        Returns
        -------
        list of Artifact
            Of all runs of the experiment.
        """
        runs = self._client.search_runs([self._experiment_id], max_results=RUNS_PER_PAGE)
        ids = [run.info.run_id for run in runs]
        while runs.token:
            runs = self._client.search_runs(
                [self._experiment_id], max_results=RUNS_PER_PAGE, page_token=runs.token
            )
            ids += [run.info.run_id for run in runs]

        def is_of_track(path: str) -> bool:
            parts = path.split("/")
            return digest in path or any(track_id in (p, p.rpartition(".")[0]) for p in parts)

        found = (Artifact(run_id, path) for run_id in ids for path in self._list_files(run_id))
        return [artifact for artifact in found if is_of_track(artifact.path)]

    def remove_artifact(self, artifact: Artifact) -> None:
        """Remove a file that a run keeps."""
        where = self._client.get_run(artifact.run_id).info.artifact_uri
        repository: Any = get_artifact_repository(where)
        repository.delete_artifacts(artifact.path)

    def _list_files(self, run_id: str, folder: str | None = None) -> Iterator[str]:
        for entry in self._client.list_artifacts(run_id, folder):
            if entry.is_dir:
                yield from self._list_files(run_id, entry.path)
            else:
                yield str(entry.path)

    def _find_experiment(self, tracking_uri: str, folder: Path) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        local = "://" not in tracking_uri or tracking_uri.startswith("sqlite:")
        location = (folder / "artifacts").as_uri() if local else None
        return str(self._client.create_experiment(EXPERIMENT, location, EXPERIMENT_TAGS))

    def _close_killed_runs(self, fingerprint: str) -> None:
        same = self._search_runs(fingerprint, "RUNNING")
        running = self._client.search_runs([self._experiment_id], "attributes.status = 'RUNNING'")
        for run_id in (run.info.run_id for run in running):
            if self._locks.collect(run_id) or run_id in same:
                self._client.set_terminated(run_id, "KILLED")

    def _search_runs(self, fingerprint: str, status: str) -> list[str]:
        query = f"tags.{FINGERPRINT_TAG} = '{fingerprint}' and attributes.status = '{status}'"
        found = self._client.search_runs([self._experiment_id], query)
        return [run.info.run_id for run in found]

    def _require_model(self) -> None:
        if not self._client.search_registered_models(f"name='{MODEL_NAME}'"):
            self._client.create_registered_model(MODEL_NAME)


def _make_database(tracking_uri: str) -> None:
    """Make a local database beside its place: MLflow cannot go on with one that is half made."""
    if not tracking_uri.startswith("sqlite:///"):
        return
    place = Path(tracking_uri.removeprefix("sqlite:///"))
    if place.exists():
        return
    draft = place.with_name(f"{place.name}.draft")
    for left in place.parent.glob(f"{draft.name}*"):  # by a process that was killed
        left.unlink()
    MlflowClient(f"sqlite:///{draft}").search_experiments()
    draft.replace(place)


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)


def _to_version(version: Any) -> ModelVersion:  # noqa: ANN401 (mlflow has no types)
    tags = version.tags or {}
    return ModelVersion(int(version.version), version.run_id, tags.get(FINGERPRINT_TAG, ""))
