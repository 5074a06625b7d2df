"""Make the candidates: train or fit an encoder, keep its files, record the run.

A model is kept under the fingerprint of everything that decides it. Asked for the same again, it
is found instead of trained, so a run that was killed or repeated goes on from where it was.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml.baseline import BaselineSettings, fit_baseline
from ml.collection import Collection
from ml.embedding import hear_clips
from ml.encoders import DESCRIPTION_FILE, Encoder, save_encoder
from ml.errors import TrainingError
from ml.provenance import describe_environment
from ml.registry import Registry, TrainingRun
from ml.training.checkpoints import remove_checkpoint
from ml.training.hardware import Hardware
from ml.training.history import Report, plot_history
from ml.training.settings import TrainingSettings
from ml.workspace import Workspace

logger = logging.getLogger(__name__)

CODE_VERSION = "3"
"""Raised when the same settings and clips would give another model."""


class TrainingStopped(TrainingError):  # noqa: N818 (nothing went wrong)
    """Whoever watches a training has seen enough of it."""


@dataclass(frozen=True)
class Model:
    """A trained encoder on disk.

    Parameters
    ----------
    kind : str
        `baseline` or `convnet`.
    fingerprint : str
        Of everything that decided it.
    folder : Path
        With the encoder's files.
    run_id : str
        Of its MLflow run.
    reused : bool
        Whether it was found rather than made.
    """

    kind: str
    fingerprint: str
    folder: Path
    run_id: str
    reused: bool

    def to_record(self) -> dict[str, Any]:
        """Facts for a record and for people."""
        return asdict(self) | {"folder": str(self.folder)}


def develop_baseline(collection: Collection, workspace: Workspace, registry: Registry) -> Model:
    """Fit the baseline on the clips of training tracks, or find it."""
    training = collection.of("train")
    settings = BaselineSettings()

    def fit(*_: object) -> Encoder:  # it has no curve to report and no checkpoint to keep
        return fit_baseline(hear_clips(training.store, training.clips, "batches heard"), settings)

    return _develop("baseline", fit, asdict(settings), [training], workspace, registry)


def develop_convnet(
    collection: Collection,
    settings: TrainingSettings,
    workspace: Workspace,
    registry: Registry,
    hardware: Hardware | None = None,
    *,
    parent: str = "",
    watch: Report | None = None,
) -> Model:
    """Train a ConvNet on training tracks, select it on validation tracks; or find it.

    Parameters
    ----------
    collection : Collection
        Of all splits; clips of test tracks are not opened.
    settings : TrainingSettings
        Everything that decides the model.
    workspace : Workspace
        Keeps its files and, while it is trained, a checkpoint from which a killed training goes on.
    registry : Registry
        Keeps the record of the run.
    hardware : Hardware, optional
        What to train on; no part of the model's fingerprint.
    parent : str
        Run that this one is part of, such as a sweep's.
    watch : callable, optional
        Sees the metrics of each epoch, after they were recorded; may raise `TrainingStopped`.

    Returns
    -------
    Model

    Raises
    ------
    TrainingStopped
        The watcher has stopped it; nothing of it is kept but the record of its run.
    """
    from ml.training.session import train_convnet  # imports Lightning, for seconds: only to train

    hardware = hardware or Hardware()
    training, validation = collection.of("train"), collection.of("validation")

    def train(run: TrainingRun, checkpoints: Path) -> Encoder:
        run.log_params({"hardware": asdict(hardware)})

        def report(metrics: Mapping[str, float], epoch: int) -> None:
            run.log_metrics(metrics, epoch)
            if watch:
                watch(metrics, epoch)

        encoder = train_convnet(
            training,
            validation,
            settings,
            report,
            note=run.log_tags,
            hardware=hardware,
            folder=checkpoints,
        )
        run.log_figure(plot_history(registry.read_history(run.run_id)), "history")
        return encoder

    data = [training, validation]
    return _develop("convnet", train, asdict(settings), data, workspace, registry, parent)


def _develop(
    kind: str,
    make: Callable[[TrainingRun, Path], Encoder],
    params: Mapping[str, Any],
    data: list[Collection],
    workspace: Workspace,
    registry: Registry,
    parent: str = "",
) -> Model:
    decisive = [CODE_VERSION, kind, params, [collection.fingerprint for collection in data]]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode())
    fingerprint = digest.hexdigest()[:16]
    folder = workspace.model_folder(kind, fingerprint)
    checkpoints = workspace.checkpoint_folder(kind, fingerprint)
    known = registry.find_run(fingerprint)
    if known and (folder / DESCRIPTION_FILE).exists():
        logger.info("The %s of these clips and settings is there already: %s", kind, fingerprint)
        remove_checkpoint(checkpoints)  # of a run that was killed just before it would have
        return Model(kind, fingerprint, folder, known.run_id, reused=True)
    with registry.start_run(kind, fingerprint, parent) as run:
        run.log_params(params)
        digests = " ".join(collection.fingerprint for collection in data)
        run.log_tags({"kind": kind, "data": digests, **describe_environment()})
        try:
            save_encoder(make(run, checkpoints), folder)
        except TrainingStopped as stopped:
            run.log_tags({"stopped": str(stopped)})
            remove_checkpoint(checkpoints)
            raise
        run.log_encoder(folder)
    remove_checkpoint(checkpoints)
    return Model(kind, fingerprint, folder, run.run_id, reused=False)
