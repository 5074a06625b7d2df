"""A training that is killed ends as one that is not, in MLflow too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer

import pytest

from ml.collection import Collection
from ml.encoders import DESCRIPTION_FILE, WEIGHTS_FILE
from ml.registry import Registry
from ml.training.checkpoints import FILE

DEVELOP = """
import json, sys, time
from pathlib import Path
import pandas as pd
from ml.audio_store import AudioStore
from ml.collection import Collection
from ml.convnet import ConvNetSettings
from ml.development import develop_convnet
from ml.training.minibatches import MinibatchSettings
from ml.registry import Registry
from ml.spectrogram import SpectrogramSettings
from ml.training.settings import TrainingSettings
from ml.workspace import Workspace

root, audio, waits = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]


def watch(metrics, epoch):
    # Waits at the second epoch, whose checkpoint is not written yet, to be killed.
    if waits and epoch == 1:
        print("waiting", flush=True)
        time.sleep(600)


settings = TrainingSettings(
    encoder=ConvNetSettings(
        widths=(8, 16), spectrogram=SpectrogramSettings(n_fft=1024, hop=512, n_mels=32), timbre=4
    ),
    minibatch=MinibatchSettings(tracks=6, crops=2, genre_group=2, steps=3),
    crop_seconds=1.0,
    epochs=5,
    patience=5,
    precision="float32",
)
collection = Collection(AudioStore(audio), pd.read_parquet(audio / "clips.parquet"))
registry = Registry(f"sqlite:///{root}/mlflow.db", root)
model = develop_convnet(collection, settings, Workspace(root), registry, watch=watch)
print(json.dumps(model.to_record()))
"""


@pytest.fixture(scope="module")
def audio(noises: Collection) -> Path:
    """Write down which clips there are, beside their audio."""
    noises.clips.to_parquet(noises.store.root / "clips.parquet")
    return noises.store.root


@contextmanager
def started(root: Path, audio: Path, *waits: str) -> Iterator[subprocess.Popen[str]]:
    """Start a training, whose loaders are in its group; none of them outlives the block."""
    root.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-c", DEVELOP, str(root), str(audio), *waits]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, text=True, start_new_session=True) as process:
        deadline = Timer(300, os.killpg, (process.pid, signal.SIGKILL))
        deadline.start()
        try:
            yield process
        finally:
            deadline.cancel()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def train(root: Path, audio: Path) -> dict[str, str]:
    """Train to the end; the record."""
    with started(root, audio) as process:
        output, _ = process.communicate()
    assert process.returncode == 0
    record: dict[str, str] = json.loads(output.splitlines()[-1])
    return record


@pytest.fixture(scope="module")
def undisturbed(
    audio: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Train without an interruption; where, and the record."""
    root = tmp_path_factory.mktemp("undisturbed")
    return root, train(root, audio)


def kill_in_second_epoch(root: Path, audio: Path) -> None:
    """Kill a training, its loaders too, between its first checkpoint and its second."""
    with started(root, audio, "waits") as process:
        assert process.stdout is not None
        assert "waiting\n" in process.stdout  # reads no further
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    assert list(root.glob(f"training/convnet-*/{FILE}"))
    assert not list(root.glob(f"models/convnet/*/{DESCRIPTION_FILE}")), "killed in mid training"


def test_killed_training_ends_as_an_undisturbed_one(
    audio: Path, undisturbed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    expected = Path(undisturbed[1]["folder"])
    root = tmp_path / "killed"
    kill_in_second_epoch(root, audio)
    record = train(root, audio)
    folder = Path(record["folder"])
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        assert (folder / name).read_bytes() == (expected / name).read_bytes()
    assert {path.name for path in folder.iterdir()} == {WEIGHTS_FILE, DESCRIPTION_FILE}

    registry = Registry(f"sqlite:///{root}/mlflow.db", root)
    client = registry._client
    runs = client.search_runs(["1"], order_by=["attributes.start_time"])
    assert [run.info.status for run in runs] == ["KILLED", "FINISHED"]
    assert runs[-1].info.run_id == record["run_id"]
    history = registry.read_history(record["run_id"])
    assert history.index.tolist() == list(range(5)), "those before the interruptions included"
    measured = {"loss", "loss/mood", "active/mood", "learning_rate", "clips_per_second"}
    assert measured | {"validation/map"} <= set(history)
    assert history.notna().all().all()
    assert int(runs[-1].data.tags["resumed_after_epochs"]) == 1


def test_run_keeps_what_it_ran_on_and_with(undisturbed: tuple[Path, dict[str, str]]) -> None:
    root, record = undisturbed
    client = Registry(f"sqlite:///{root}/mlflow.db", root)._client
    run = client.get_run(record["run_id"])
    assert run.data.params["triplets.margin"] == "0.2"
    assert run.data.params["hardware.devices"] == "1"
    assert run.data.tags["precision"] == "float32"
    assert len(run.data.tags["data"].split()) == 2, "digests of training and validation"
    assert run.data.tags["environment.python"].startswith("3.")
    assert {f"environment.{name}" for name in ("torch", "cpu", "git")} <= set(run.data.tags)
    assert "history.png" in {file.path for file in client.list_artifacts(record["run_id"])}
