"""Peaks, loudness and place of each track, computed in the pipeline for the page."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psycopg.rows import dict_row

from ml.audio_store import AudioStore
from ml.progress import track_progress
from ml.waveform import (
    EXCERPT_TENTHS,
    PEAKS_PER_SECOND,
    find_loudest,
    find_peaks,
    integrate_loudness,
    measure_energies,
    pack_energies,
    unpack_energies,
)
from search.database import Database
from search.queries import query

logger = logging.getLogger(__name__)

TRACKS_PER_COMMIT = 50
TENTH_MS = 1000 // PEAKS_PER_SECOND


@dataclass(frozen=True)
class Excerpt:
    """Ten seconds of a track (all of a shorter one), and how loud they are, LUFS."""

    start_ms: int
    end_ms: int
    loudness_lufs: float | None


@dataclass(frozen=True)
class Waveform:
    """What is drawn and played of a track.

    Parameters
    ----------
    path : str
        The original file: a path of this machine, or a URL.
    loudness_lufs : float or None
        Integrated loudness by ITU-R BS.1770-4.
    peaks : bytes
        A byte for each tenth of a second, 255 being full scale.
    energies : bytes or None
        By `ml.waveform.pack_energies`; None where the pipeline has not measured them yet.
    duration_ms : int or None
        Of the track.
    """

    path: str
    loudness_lufs: float | None
    peaks: bytes
    energies: bytes | None
    duration_ms: int | None

    @property
    def heights(self) -> NDArray[np.float64]:
        """The peaks, 0 to 1, `ml.waveform.PEAKS_PER_SECOND` of them a second."""
        scaled: NDArray[np.float64] = np.frombuffer(self.peaks, np.uint8) / 255
        return scaled.round(3)

    @property
    def excerpt(self) -> Excerpt:
        """What is played of a track where nobody chose; by its peaks, until it is measured."""
        levels = unpack_energies(self.energies) if self.energies else self.heights
        start = find_loudest(levels)
        end = min(start + EXCERPT_TENTHS, len(levels))
        energies = self.energies[start:end] if self.energies else None
        loudness = stretch_loudness(energies, self.loudness_lufs)
        return Excerpt(start * TENTH_MS, end * TENTH_MS, loudness)


def load_waveforms(database: Database, store: AudioStore, tracks: pd.DataFrame) -> int:
    """Compute and load what is not there yet, or was computed from another file.

    Parameters
    ----------
    database : Database
        Migrated, with the tracks' metadata loaded.
    store : AudioStore
        The tracks' audio.
    tracks : pandas.DataFrame
        Columns `track_id`, `digest`, `samples`, `content`, `path`.

    Returns
    -------
    int
        Waveforms computed now.
    """
    with database.transaction() as connection:
        rows = connection.execute(query("known_waveforms")).fetchall()
    known = {track_id: (content, path) for track_id, content, path in rows}
    facts = list(zip(tracks["track_id"], tracks["content"], tracks["path"], strict=True))
    moved = [(i, p) for i, c, p in facts if i in known and known[i][0] == c and known[i][1] != p]
    stale = [track_id for track_id, content, _ in facts if known.get(track_id, ("",))[0] != content]
    left = tracks[tracks["track_id"].isin(stale)]
    waveforms = (_measure(store, row) for row in left.itertuples())
    measured = track_progress(waveforms, len(left), "waveforms computed", logger)
    with database.transaction() as connection:
        for track_id, path in moved:
            connection.execute(query("move_waveform"), {"track_id": track_id, "path": path})
        for number, values in enumerate(measured):
            if number % TRACKS_PER_COMMIT == 0:
                connection.commit()  # what is done is kept, whatever comes
            connection.execute(query("upsert_waveform"), values)
    return len(left)


def _measure(store: AudioStore, row: Any) -> dict[str, object]:  # noqa: ANN401  (a row of pandas)
    samples = store.read(row.digest, 0, row.samples)
    energies = measure_energies(samples)
    return {
        "track_id": row.track_id,
        "content": row.content,
        "path": row.path,
        "loudness_lufs": integrate_loudness(energies),
        "peaks": find_peaks(samples).tobytes(),
        "energies": pack_energies(energies),
    }


def find_loudness(database: Database, track_id: str, start_ms: int, end_ms: int) -> float | None:
    """Find how loud a stretch of a track is, LUFS; the whole track, where nothing else is known."""
    values = {"track_id": track_id, "start_ms": start_ms, "end_ms": end_ms}
    with database.transaction() as connection:
        row = connection.execute(query("find_energies"), values).fetchone()
    return stretch_loudness(*row) if row else None


def stretch_loudness(energies: bytes | None, of_track: float | None) -> float | None:
    """Give the loudness of a stretch by its energies, LUFS.

    Parameters
    ----------
    energies : bytes or None
        Of the stretch; None where the pipeline has not measured them yet.
    of_track : float or None
        What counts then, and where the stretch is silent.
    """
    found = integrate_loudness(unpack_energies(energies)) if energies else None
    return of_track if found is None else round(found, 2)


def find_waveform(database: Database, track_id: str) -> Waveform | None:
    """Find what is drawn and played of a served track; None for any other."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        row = cursor.execute(query("find_waveform"), (track_id,)).fetchone()
    return Waveform(**row) if row else None
