"""What a run's configuration may say of clips is all that their settings have."""

from ml.audio import AudioLimits
from ml.clip_settings import SETTINGS, ClipSettings, explain_rejection
from ml.errors import AudioError
from ml.isolation import WorkerLimits
from orchestration.assets.clip_config import (
    ClipsConfig,
    LimitsConfig,
    WorkerConfig,
    configure_clips,
)


def test_configuration_is_by_default_that_of_the_settings() -> None:
    assert configure_clips(ClipsConfig()) == ClipSettings()
    assert set(LimitsConfig.model_fields) == set(AudioLimits.__dataclass_fields__)
    assert set(WorkerConfig.model_fields) == set(WorkerLimits.__dataclass_fields__)


def test_configuration_reaches_the_settings() -> None:
    config = ClipsConfig(
        clips_per_track=3,
        max_vanished=0.5,
        grace_days=1,
        limits=LimitsConfig(max_seconds=60),
        worker=WorkerConfig(seconds=7),
    )
    assert configure_clips(config) == ClipSettings(
        3, AudioLimits(max_seconds=60), WorkerLimits(seconds=7), grace_days=1, max_vanished=0.5
    )


def test_rejection_names_the_setting_that_decides_on_it() -> None:
    said = explain_rejection(AudioError("too_long", "Longer than 60 s: cut it into parts."))
    assert said.startswith("Longer than 60 s: cut it into parts. ")
    assert "`limits: max_seconds` in the config of `clips`" in said
    assert explain_rejection(AudioError("damaged", "Replace it.")) == "Replace it."
    for setting in SETTINGS.values():
        part, _, name = setting.partition(": ")
        assert name.split("`")[0] in type(getattr(ClipsConfig(), part)).model_fields
