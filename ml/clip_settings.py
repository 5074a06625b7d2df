"""How tracks become clips, and the fingerprints by which a run sees that this has changed."""

import hashlib
from dataclasses import asdict, dataclass, field
from functools import cached_property

from ml.audio import DECODER_VERSION, AudioLimits
from ml.isolation import WorkerLimits


@dataclass(frozen=True)
class ClipSettings:
    """How tracks become clips; a change of the first two decodes everything again."""

    clips_per_track: int = 10
    limits: AudioLimits = field(default_factory=AudioLimits)
    worker: WorkerLimits = field(default_factory=WorkerLimits)
    """For decoding one file; a change of it tries again what these limits stopped."""
    grace_days: float = 30.0
    """How long a track that has left the catalogue is kept."""
    max_vanished: float = 0.2
    """Share of the stored tracks above which a run stops instead of believing that they left."""

    @cached_property
    def fingerprint(self) -> str:
        """Short digest of what decides the samples and clips, and of how files are decoded."""
        return _digest((DECODER_VERSION, self.clips_per_track, sorted(asdict(self.limits).items())))

    @cached_property
    def worker_fingerprint(self) -> str:
        """Short digest of the fingerprint and the worker's limits."""
        return _digest((self.fingerprint, sorted(asdict(self.worker).items())))


def _digest(decisive: object) -> str:
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]
