"""Writing the demo catalogue: audio files, then the manifest that names them."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ml.errors import CatalogError
from ml.progress import track_progress
from ml.samples.artists import draw_artists
from ml.samples.composition import compose
from ml.samples.files import write_audio, write_whole
from ml.samples.mixing import record
from ml.samples.rows import BAD_FILES, COLUMNS, Track, bad_rows, draw_track
from ml.samples.songs import draw_song
from ml.workers import map_in_parallel

logger = logging.getLogger(__name__)

MANIFEST = "tracks.csv"
_FINGERPRINT = "samples.json"
_SHORT_SECONDS = 4.0


@dataclass(frozen=True)
class SampleSettings:
    """What the demo catalogue holds."""

    n_tracks: int = 180  # sound tracks; the rows to be refused come on top
    seed: int = 1  # with it, every genre and mood has tracks in every split
    min_seconds: float = 20.0
    max_seconds: float = 40.0
    bad_rows: bool = True
    workers: int = 2  # processes; the bytes do not depend on it


def _fingerprint(settings: SampleSettings) -> str:
    """Digest of the settings and of this package's own source: either one changes the audio."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    described = asdict(replace(settings, workers=1))
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _write_track(folder: Path, track: Track, seed: int) -> None:
    rng = np.random.default_rng((seed, 3, track.index))
    song = draw_song(track.genres, track.feeling, track.seconds, rng)
    audio = record(song, compose(song, rng), track.artist, track.rate, rng)
    if track.channels == 1:
        audio = audio.mean(axis=1)
    write_audio(folder / track.path, audio, track.rate)


def _write_bad(folder: Path, name: str, template: Track, seed: int) -> None:
    path = folder / "audio" / name
    rng = np.random.default_rng((seed, 4))
    if name == "bad_corrupt.flac":
        write_whole(path, lambda part: _write_bytes(part, rng.bytes(20_000)))
    elif name == "bad_text.mp3":
        write_whole(path, lambda part: _write_bytes(part, b"This is not music.\n" * 100))
    elif name == "bad_silent.wav":
        write_audio(path, np.zeros(20 * 22_050, dtype=np.float32), 22_050)
    else:
        short = replace(template, path=f"audio/{name}", seconds=_SHORT_SECONDS)
        _write_track(folder, short, seed)


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _write_manifest(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _clear(folder: Path, fingerprint: str) -> None:
    """Remove a catalogue of other settings, so that what remains can be trusted.

    The manifest goes first and the new mark comes last: a folder that was left half-way is
    never taken for a whole one.
    """
    mark = folder / _FINGERPRINT
    if (folder / MANIFEST).exists() and not mark.exists():
        raise CatalogError(
            f"{folder / MANIFEST} is not a sample catalogue; name another folder for the samples."
        )
    (folder / MANIFEST).unlink(missing_ok=True)
    for pattern in ("demo_*", "bad_*", ".part-*"):
        for path in (folder / "audio").glob(pattern):
            path.unlink()
    content = json.dumps({"fingerprint": fingerprint}) + "\n"
    write_whole(mark, lambda part: _write_bytes(part, content.encode()))


def _matches(folder: Path, fingerprint: str) -> bool:
    try:
        return bool(json.loads((folder / _FINGERPRINT).read_text())["fingerprint"] == fingerprint)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _plan(
    folder: Path, settings: SampleSettings, tracks: list[Track]
) -> dict[Path, Callable[[], None]]:
    """Every file of the catalogue, and how to make it."""
    jobs: dict[Path, Callable[[], None]] = {
        folder / track.path: partial(_write_track, folder, track, settings.seed) for track in tracks
    }
    if settings.bad_rows:
        for name in BAD_FILES:
            job = partial(_write_bad, folder, name, tracks[0], settings.seed)
            jobs[folder / "audio" / name] = job
    return jobs


def _make(jobs: list[Callable[[], None]], workers: int) -> None:
    made = map_in_parallel(_call, jobs, workers)
    for _ in track_progress(made, len(jobs), "sample files made", logger):
        pass


def _call(job: Callable[[], None]) -> None:
    job()


def write_samples(folder: Path, settings: SampleSettings = SampleSettings()) -> Path:
    """Write a catalogue of music that this program makes up, or what is missing of it.

    Calling it again on a whole catalogue of the same settings touches nothing.

    Parameters
    ----------
    folder : Path
        Where to write ``tracks.csv`` and ``audio/``.
    settings : SampleSettings
        How much, and from which seed.

    Returns
    -------
    Path
        The manifest, with the columns `COLUMNS`; paths in it are relative to `folder`.

    Raises
    ------
    CatalogError
        If the folder holds somebody else's ``tracks.csv``.
    """
    fingerprint = _fingerprint(settings)
    if not _matches(folder, fingerprint):
        _clear(folder, fingerprint)
    artists = draw_artists(settings.seed)
    bounds = (settings.min_seconds, settings.max_seconds)
    tracks = [draw_track(i, settings.seed, bounds, artists) for i in range(settings.n_tracks)]
    missing = [job for path, job in _plan(folder, settings, tracks).items() if not path.exists()]
    if missing:
        _make(missing, settings.workers)
    manifest = folder / MANIFEST
    if missing or not manifest.exists():
        rows = [track.row for track in tracks] + (bad_rows(tracks[0]) if settings.bad_rows else [])
        write_whole(manifest, lambda part: _write_manifest(part, rows))
    return manifest
