"""Train a ConvNet encoder by competing triplet terms on transformed clips (paper, section 2.3).

Lightning runs the loop. The model is selected, and its training stopped early, by mAP on
validation tracks; test tracks are never opened here.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ml.collection import Collection
from ml.convnet import seed_weights
from ml.encoders import ConvNetEncoder
from ml.progress import track_progress
from ml.spectrogram import compress
from ml.timbre import fit_timbre
from ml.training.checkpoints import find_checkpoint
from ml.training.cores import count_cores, limit_threads
from ml.training.feasibility import require_shares, require_triplets
from ml.training.fitting import Job, fit
from ml.training.followers import run_followers
from ml.training.hardware import Hardware
from ml.training.history import Report, is_over
from ml.training.precision import Precision, measure_precision, prefer_gpu_precision
from ml.training.settings import TrainingSettings
from ml.training.triplet_module import TripletModule

logger = logging.getLogger(__name__)

Note = Callable[[Mapping[str, str]], None]

PROBE_CLIPS = 32
"""Clips that the precision is measured with."""
TIMBRE_MINIBATCHES = 16
"""Minibatches that the timbre is fitted to: 4,096 crops by default."""


def train_convnet(
    training: Collection,
    validation: Collection,
    settings: TrainingSettings | None = None,
    report: Report | None = None,
    *,
    note: Note | None = None,
    hardware: Hardware | None = None,
    folder: Path | None = None,
) -> ConvNetEncoder:
    """Train an encoder.

    Parameters
    ----------
    training, validation : Collection
        Clips of the training tracks, to learn from, and of the validation tracks, to select by.
    settings : TrainingSettings, optional
        Everything that decides the result, the seed included.
    report : callable, optional
        Gets the metrics of each epoch and its number, those before an interruption included.
    note : callable, optional
        Gets facts about the run by name, such as the precision that was chosen.
    hardware : Hardware, optional
        What it runs on. Several devices spawn processes, which import the main module: a script
        has to start its work under ``if __name__ == "__main__"``.
    folder : Path, optional
        Where a checkpoint is kept after each epoch, and looked for: a training that was killed
        goes on from it to the very weights that it would have had. The checkpoint stays until the
        caller, once the encoder is safe, calls `ml.training.checkpoints.remove_checkpoint`.

    Returns
    -------
    ConvNetEncoder
        The weights of the epoch with the best validation mAP, on the CPU.

    Raises
    ------
    TrainingError
        A term of the objective can never have a triplet, the minibatch cannot be shared between
        the devices, a loss or a weight is not finite, or a term had nothing to learn from in a
        whole epoch.
    """
    settings, hardware = settings or TrainingSettings(), hardware or Hardware()
    report = report or _ignore
    require_triplets(training, settings)
    require_shares(training, settings, hardware)
    key = _identify(training, validation, settings)
    past = find_checkpoint(folder, key) if folder else None
    precision = past.precision if past else _choose_precision(training, settings, hardware)
    history, best = (past.history, past.best) if past else ([], {})
    (note or _ignore)({"precision": precision, "resumed_after_epochs": str(len(history))})
    for epoch, metrics in enumerate(history):
        report(metrics, epoch)
    if not is_over(history, settings):
        timbre = {} if past else _measure_timbre(training, settings)
        job = Job(
            training, validation, settings, precision, timbre, folder, key, resumes=bool(past)
        )
        with run_followers(hardware, partial(fit, job)) as seat:
            best = fit(job, seat, report).best
    network = seed_weights(settings.encoder, settings.seed)
    network.load_state_dict(best)
    return ConvNetEncoder(network)


def _ignore(*_: object) -> None:
    """Tell nobody."""


def _identify(training: Collection, validation: Collection, settings: TrainingSettings) -> str:
    """Digest what decides the weights, so that no checkpoint of anything else is gone on with."""
    decisive = [asdict(settings), training.fingerprint, validation.fingerprint, torch.__version__]
    return hashlib.sha256(json.dumps(decisive, default=str).encode()).hexdigest()


def _measure_timbre(training: Collection, settings: TrainingSettings) -> dict[str, Tensor]:
    """Fit the timbre, if there is to be one, to the first minibatches of the training."""
    if not settings.encoder.timbre:
        return {}
    minibatches = TripletModule(training, settings).make_minibatches(0)
    spectra, tracks = [], []
    steps, what = range(TIMBRE_MINIBATCHES), "minibatches heard for the timbre"
    for step in track_progress(steps, len(steps), what, logger):
        batch = minibatches[step]
        spectra.append(compress(batch.mel, settings.encoder.spectrogram.floor).mean(2))
        tracks.append(batch.track)
    return fit_timbre(torch.cat(spectra), torch.cat(tracks), settings.encoder.timbre)


def _choose_precision(
    training: Collection, settings: TrainingSettings, hardware: Hardware
) -> Precision:
    """Take what is asked for; else a half on a GPU, and on the CPU what is measured."""
    if settings.precision != "auto":
        return settings.precision
    if hardware.uses_gpu:
        return prefer_gpu_precision()
    module = TripletModule(training, settings)  # to be thrown away, with its statistics
    batch = module.make_minibatches(0)[0]
    rows = torch.arange(min(PROBE_CLIPS, len(batch.source)))
    with limit_threads(count_cores() // hardware.devices):
        return measure_precision(lambda: module.embed(batch, rows))
