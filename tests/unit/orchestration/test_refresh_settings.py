"""What a team has settled on is the default of what an asset is configured by."""

from pathlib import Path

import dagster as dg
import pydantic
import pytest

from ml.errors import SoundalikeError
from orchestration.settings import preset, read_settings

TOLD = """
ops:
  candidate_model: {config: {epochs: 12, learning_rate: 1e-4}}
  embeddings: {config: {window_hop_s: 2.5}}
"""


class Training(dg.Config):
    """Like that of the asset `candidate_model`."""

    epochs: int = 8
    learning_rate: float = 1e-3
    seed: int = 0


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a file of settings."""
    path = tmp_path / "refresh.yaml"
    path.write_text(TOLD)
    monkeypatch.setenv("REFRESH_CONFIG", str(path))
    return path


def run(schema: type[dg.Config], **config: object) -> object:
    """Run an asset of a partition that is configured by a schema; its configuration."""
    partitions = dg.StaticPartitionsDefinition(["00"])

    @dg.asset(partitions_def=partitions)
    def candidate_model(config: schema) -> dict[str, object]:  # type: ignore[valid-type]
        return config.model_dump()  # type: ignore[attr-defined, no-any-return]

    ops = {"ops": {"candidate_model": {"config": config}}} if config else None
    with dg.DagsterInstance.ephemeral() as instance:  # what it logs to refers to it weakly
        result = dg.materialize(
            [candidate_model], partition_key="00", run_config=ops, instance=instance
        )
        return result.output_for_node("candidate_model")


@pytest.mark.usefixtures("told")
def test_settings_hold_for_a_run_that_is_launched_without_configuration() -> None:
    class Told(Training):
        pass

    schema = preset("candidate_model")(Told)
    assert run(schema) == {"epochs": 12, "learning_rate": 1e-4, "seed": 0}
    assert run(schema, epochs=3) == {"epochs": 3, "learning_rate": 1e-4, "seed": 0}
    assert Training().epochs == 8, "other schemas stay as they are"


def test_nothing_is_settled_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFRESH_CONFIG", raising=False)
    assert read_settings() == {}


def test_missing_file_of_settings_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRESH_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(Exception, match=r"nowhere\.yaml"):
        read_settings()


@pytest.mark.parametrize("unknown", ["loggers: {}", "ops: {tracks: {config: {}}}"])
def test_settings_that_would_be_ignored_are_refused(told: Path, unknown: str) -> None:
    told.write_text(unknown)
    with pytest.raises(SoundalikeError, match="it may set catalog, clips"):
        read_settings()


def test_setting_of_another_name_is_refused(told: Path) -> None:
    told.write_text("ops: {candidate_model: {config: {epoch: 12}}}")
    with pytest.raises(SoundalikeError, match="sets epoch of candidate_model"):
        preset("candidate_model")(Training)
    told.write_text("ops: {candidate_model: {config: {epochs: many}}}")
    with pytest.raises(pydantic.ValidationError, match="epochs"):
        preset("candidate_model")(Training)
