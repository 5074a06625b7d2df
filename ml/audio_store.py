"""The audio store: each track once, whole, as int16 at 16 kHz, and manifests of what is valid.

``<root>/<bucket>/<digest>.npy`` holds a track; the bucket's ``clips.parquet`` is written last and
names the clips in it, so a bucket that was interrupted is simply done again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml.audio import SAMPLE_RATE, Int16
from ml.splits import assign_bucket
from ml.storage import replace_file, sweep_temporaries

CLIP_SECONDS = 10.0
CLIP_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)

CLIP_COLUMNS = ("track_id", "digest", "start", "samples", "fingerprint")
REJECTED_COLUMNS = ("track_id", "digest", "fingerprint", "reason", "remedy")


@dataclass(frozen=True)
class AudioStore:
    """Where decoded tracks lie.

    Parameters
    ----------
    root : Path
        Folder of the bucket folders.
    """

    root: Path

    def audio_path(self, digest: str) -> Path:
        """Path of a track's samples."""
        return self._folder(assign_bucket(digest)) / f"{digest}.npy"

    def read(self, digest: str, start: int = 0, samples: int = CLIP_SAMPLES) -> Int16:
        """Read a stretch of a track, touching only its pages.

        Parameters
        ----------
        digest : str
            Of the track's id.
        start, samples : int
            In samples at 16 kHz.

        Returns
        -------
        numpy.ndarray [shape=(samples,)]
            int16; a view of the memory-mapped file.
        """
        track: Int16 = np.load(self.audio_path(digest), mmap_mode="r")
        return track[start : start + samples]

    def read_clips(self, buckets: Iterable[int]) -> pd.DataFrame:
        """Read the clip manifests of some buckets: columns `CLIP_COLUMNS`, one row per clip."""
        return self._read("clips.parquet", buckets, CLIP_COLUMNS)

    def read_rejected(self, buckets: Iterable[int]) -> pd.DataFrame:
        """Read the quarantine of some buckets: columns `REJECTED_COLUMNS`, one row per track."""
        return self._read("rejected.parquet", buckets, REJECTED_COLUMNS)

    def write_audio(self, digest: str, samples: Int16) -> None:
        """Put a track's samples in place, whole or not at all."""
        with replace_file(self.audio_path(digest)) as file:
            np.save(file, samples)

    def write_bucket(self, bucket: int, clips: pd.DataFrame, rejected: pd.DataFrame) -> None:
        """Replace a bucket's manifests, and remove the audio of tracks no longer in them.

        `clips.parquet` is written last, since it names what is valid.
        """
        before = set(self.read_clips([bucket])["digest"])
        for name, frame in (("rejected.parquet", rejected), ("clips.parquet", clips)):
            with replace_file(self._folder(bucket) / name) as file:
                frame.to_parquet(file, index=False)
        for digest in before - set(clips["digest"]):
            self.audio_path(digest).unlink(missing_ok=True)

    def sweep(self, bucket: int) -> None:
        """Remove what a killed run left half-written in a bucket."""
        sweep_temporaries(self._folder(bucket))

    def _folder(self, bucket: int) -> Path:
        return self.root / f"{bucket:02d}"

    def _read(self, name: str, buckets: Iterable[int], columns: tuple[str, ...]) -> pd.DataFrame:
        paths = [path for bucket in buckets if (path := self._folder(bucket) / name).exists()]
        frames = [frame for path in paths if not (frame := pd.read_parquet(path)).empty]
        if not frames:
            return pd.DataFrame(columns=list(columns))
        return pd.concat(frames, ignore_index=True)
