"""The settings of the clips, as a run's configuration has them."""

import dagster as dg

from ml.audio import AudioLimits
from ml.clip_settings import ClipSettings
from ml.isolation import WorkerLimits
from orchestration.settings import preset


class LimitsConfig(dg.Config):
    """What a file must satisfy to be used; a change decodes everything anew."""

    min_seconds: float = AudioLimits.min_seconds
    max_seconds: float = AudioLimits.max_seconds
    max_channels: int = AudioLimits.max_channels
    min_sample_rate: int = AudioLimits.min_sample_rate
    max_sample_rate: int = AudioLimits.max_sample_rate
    max_bytes: int = AudioLimits.max_bytes
    max_values: int = AudioLimits.max_values
    silence_peak: float = AudioLimits.silence_peak


class WorkerConfig(dg.Config):
    """What decoding a file may cost; a change tries again what these limits stopped."""

    seconds: float = WorkerLimits.seconds
    megabytes: int = WorkerLimits.megabytes


@preset("clips")
class ClipsConfig(dg.Config):
    """How tracks become clips, and what a run may do about tracks that have left the manifest."""

    allow_shrinking: bool = False
    max_vanished: float = ClipSettings.max_vanished
    grace_days: float = ClipSettings.grace_days
    clips_per_track: int = ClipSettings.clips_per_track
    limits: LimitsConfig = LimitsConfig()
    worker: WorkerConfig = WorkerConfig()


def configure_clips(config: ClipsConfig) -> ClipSettings:
    """Turn a run's configuration into the settings of the clips."""
    return ClipSettings(
        clips_per_track=config.clips_per_track,
        limits=AudioLimits(**config.limits.model_dump()),
        worker=WorkerLimits(**config.worker.model_dump()),
        grace_days=config.grace_days,
        max_vanished=config.max_vanished,
    )
