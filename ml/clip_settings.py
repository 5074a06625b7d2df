"""How tracks become clips, and the fingerprints by which a run sees that this has changed."""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cached_property

from ml.audio import DECODER_VERSION, AudioLimits
from ml.errors import AudioError
from ml.isolation import WorkerLimits
from ml.shrinking import MAX_VANISHED

SETTINGS = {
    "too_short": "limits: min_seconds",
    "too_long": "limits: max_seconds",
    "too_many_channels": "limits: max_channels",
    "sample_rate": "limits: min_sample_rate` and `max_sample_rate",
    "too_many_bytes": "limits: max_bytes",
    "too_many_values": "limits: max_values",
    "silent": "limits: silence_peak",
    "decoder_timeout": "worker: seconds",
    "decoder_memory": "worker: megabytes",
}
"""Reason code of a rejected file -> what in the config of `clips` decides on it."""


@dataclass(frozen=True)
class ClipSettings:
    """How tracks become clips; a change of the first two decodes everything again."""

    clips_per_track: int = 10
    limits: AudioLimits = field(default_factory=AudioLimits)
    worker: WorkerLimits = field(default_factory=WorkerLimits)
    """For decoding one file; a change of it tries again what these limits stopped."""
    grace_days: float = 30.0
    """How long a track that has left the catalogue is kept."""
    max_vanished: float = MAX_VANISHED
    """Share of the stored tracks above which a run stops instead of believing that they left."""

    @cached_property
    def fingerprint(self) -> str:
        """Short digest of what decides the samples and clips, and of how files are decoded."""
        return _digest((DECODER_VERSION, self.clips_per_track, sorted(asdict(self.limits).items())))

    @cached_property
    def worker_fingerprint(self) -> str:
        """Short digest of the fingerprint and the worker's limits."""
        return _digest((self.fingerprint, sorted(asdict(self.worker).items())))


def explain_rejection(error: AudioError) -> str:
    """Say what is wrong with a file and what to do about it, a change of settings included."""
    setting = SETTINGS.get(error.reason)
    other = f" (`{setting}` in the config of `clips` decides on it.)" if setting else ""
    return f"{error.message}{other}"


def _digest(decisive: object) -> str:
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]
