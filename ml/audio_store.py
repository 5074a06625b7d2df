"""The audio store: each track once, whole, as int16 at 16 kHz, and manifests of what is valid.

``<root>/<bucket>/<digest>.npy`` holds a track; the bucket's ``clips.parquet`` is written last and
names the clips in it, so a bucket that was interrupted is simply done again. ``gone.parquet`` names
those of tracks that have left the catalogue and may come back. Samples that a run has decoded lie
as ``<digest>.new.npy`` until the manifests no longer say anything of those that they replace.
"""

import os
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ml.audio import SAMPLE_RATE, Int16
from ml.locks import lock_file
from ml.splits import assign_bucket
from ml.storage import replace_file, sweep_temporaries

CLIP_SECONDS = 10.0
CLIP_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)

CLIP_COLUMNS = ("track_id", "digest", "start", "samples", "fingerprint", "content")
"""``fingerprint`` tells cheaply whether a file may have changed, ``content`` whether it has."""
GONE_COLUMNS = (*CLIP_COLUMNS, "gone_since")
REJECTED_COLUMNS = ("track_id", "digest", "fingerprint", "reason", "remedy")
_SUFFIX = ".npy"
_NEW = ".new.npy"
_HEADER_BYTES = 128  # of every track's file: numpy fills it up with spaces
_NUMBERS = {"start": "int64", "samples": "int64", "gone_since": "float64"}


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
        return self._folder(assign_bucket(digest)) / f"{digest}{_SUFFIX}"

    def has_audio(self, digest: str) -> bool:
        """Tell whether a track's samples are there."""
        return self.audio_path(digest).exists()

    def list_audio(self, bucket: int) -> set[str]:
        """Digests of the tracks whose samples are in a bucket: one look at its folder."""
        if not (folder := self._folder(bucket)).exists():
            return set()
        with os.scandir(folder) as files:
            names = [file.name for file in files]
        return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}

    def read(self, digest: str, start: int = 0, samples: int = CLIP_SAMPLES) -> Int16:
        """Read a stretch of a track, and nothing but that stretch.

        Parameters
        ----------
        digest : str
            Of the track's id.
        start, samples : int
            In samples at 16 kHz.

        Returns
        -------
        numpy.ndarray [shape=(samples,)]
            int16; fewer where the track ends.
        """
        # `np.load` parses the header and maps the file anew each time: a multiple of the reading.
        offset = _HEADER_BYTES + start * np.dtype("<i2").itemsize
        return np.fromfile(self.audio_path(digest), "<i2", samples, offset=offset)

    def read_clips(self, buckets: Iterable[int]) -> pd.DataFrame:
        """Read the clip manifests of some buckets: columns `CLIP_COLUMNS`, one row per clip."""
        return self._read("clips.parquet", buckets, CLIP_COLUMNS)

    def read_rejected(self, buckets: Iterable[int]) -> pd.DataFrame:
        """Read the quarantine of some buckets: columns `REJECTED_COLUMNS`, one row per track."""
        return self._read("rejected.parquet", buckets, REJECTED_COLUMNS)

    def read_gone(self, buckets: Iterable[int]) -> pd.DataFrame:
        """Read the clips of tracks that left: columns `GONE_COLUMNS`, ``gone_since`` in Unix time.

        A track that the clip manifest names too is not gone: a run was killed between the two.
        """
        return self._read("gone.parquet", buckets, GONE_COLUMNS)

    def read_manifests(self, bucket: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Read the three of a bucket, in the order in which `write_bucket` takes them."""
        return self.read_clips([bucket]), self.read_rejected([bucket]), self.read_gone([bucket])

    def audio_files(self, digest: str) -> list[Path]:
        """Paths of all files of a track that are there."""
        return [path for path in (self.audio_path(digest), self._new_path(digest)) if path.exists()]

    def write_audio(self, digest: str, samples: Int16) -> None:
        """Put a track's samples in place, whole or not at all."""
        self.write_blocks(digest, [samples])
        self.adopt(digest)

    def adopt(self, digest: str) -> None:
        """Put the samples in place that `write_blocks` has written beside it."""
        self._new_path(digest).replace(self.audio_path(digest))

    def write_blocks(self, digest: str, blocks: Iterable[Int16]) -> int:
        """Write a track's samples as they come, whole or not at all, beside those in place.

        Returns
        -------
        int
            Number of samples.
        """
        total = 0
        # `write_manifests` makes the name last, before the manifest that counts on it.
        with replace_file(self._new_path(digest), sync_name=False) as file:
            _write_header(file, total)
            for block in blocks:
                total += len(block)
                file.write(block.astype("<i2", copy=False).data)
            file.seek(0)
            _write_header(file, total)  # as long as the first: numpy leaves room for the length
        return total

    def write_bucket(
        self, bucket: int, clips: pd.DataFrame, rejected: pd.DataFrame, gone: pd.DataFrame
    ) -> None:
        """Replace a bucket's manifests, and remove the audio of tracks no longer in them."""
        self.write_manifests(bucket, clips, rejected, gone)
        self.remove_unnamed(bucket, {*clips["digest"], *gone["digest"]})

    def write_manifests(
        self, bucket: int, clips: pd.DataFrame, rejected: pd.DataFrame, gone: pd.DataFrame
    ) -> None:
        """Replace a bucket's manifests, `clips.parquet` last, since it names what is valid."""
        frames = {"gone.parquet": gone, "rejected.parquet": rejected, "clips.parquet": clips}
        for name, frame in frames.items():
            with replace_file(self._folder(bucket) / name) as file:
                # However the rows came about, equal ones are equal bytes.
                types = {column: _NUMBERS.get(column, "str") for column in frame.columns}
                frame.astype(types).to_parquet(file, index=False)

    def remove_unnamed(self, bucket: int, named: Collection[str]) -> None:
        """Remove audio that is not of these digests; only who holds the bucket's lock may do so.

        Parameters
        ----------
        bucket : int
            Which.
        named : set of str
            The digests that its manifests name, those of gone tracks included.
        """
        for digest in self.list_audio(bucket).difference(named):
            (self._folder(bucket) / f"{digest}{_SUFFIX}").unlink(missing_ok=True)

    def lock(self, bucket: int) -> AbstractContextManager[None]:
        """Keep other runs out of a bucket; the system lets go of it however the process ends.

        Raises
        ------
        CatalogError
            Another run is in it.
        """
        return lock_file(
            self._folder(bucket) / "lock",
            busy=f"Another run is at work on bucket {bucket:02d} of the audio store: "
            "wait until it has ended, then run this one again.",
        )

    def sweep(self, bucket: int) -> None:
        """Remove what a killed run left half-written in a bucket."""
        sweep_temporaries(self._folder(bucket))

    def _folder(self, bucket: int) -> Path:
        return self.root / f"{bucket:02d}"

    def _new_path(self, digest: str) -> Path:
        return self.audio_path(digest).with_suffix(_NEW)

    def _read(self, name: str, buckets: Iterable[int], columns: tuple[str, ...]) -> pd.DataFrame:
        paths = [path for bucket in buckets if (path := self._folder(bucket) / name).exists()]
        tables = [table for path in paths if (table := _read_rows(path, columns)) is not None]
        if not tables:
            return pd.DataFrame(columns=list(columns))
        joined: pd.DataFrame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
        return joined


def _read_rows(path: Path, columns: tuple[str, ...]) -> pa.Table | None:
    """Read a small table without the overhead of pandas, which counts: there are hundreds."""
    with parquet.ParquetFile(path) as file:
        # One without these columns is of an earlier version: what it names is simply made again.
        if not file.metadata.num_rows or not {*columns} <= {*file.schema_arrow.names}:
            return None
        return file.read(list(columns), use_threads=False)


def _write_header(file: IO[bytes], samples: int) -> None:
    header = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
    np.lib.format.write_array_header_1_0(file, header)
