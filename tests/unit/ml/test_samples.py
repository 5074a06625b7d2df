"""The demo catalogue: reproducible, whole, readable, and music of the kind that its tags say."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from ml.errors import CatalogError
from ml.samples import COLUMNS, SampleSettings, write_samples
from ml.samples.artists import draw_artists
from ml.samples.composition import compose, sections
from ml.samples.files import write_audio
from ml.samples.mixing import PEAK, record
from ml.samples.rows import Track, draw_track
from ml.samples.songs import draw_song
from ml.samples.styles import GENRES, MOODS, SCALES, Groove

TINY = SampleSettings(n_tracks=7, min_seconds=3.0, max_seconds=4.0, workers=1)
RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples")
    write_samples(path, TINY)
    return path


@pytest.fixture(scope="module")
def default_tracks() -> list[Track]:
    settings = SampleSettings()
    bounds = (settings.min_seconds, settings.max_seconds)
    artists = draw_artists(settings.seed)
    return [draw_track(i, settings.seed, bounds, artists) for i in range(settings.n_tracks)]


def _contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "tracks.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _play(genre: str, seed: int, seconds: float = 12.0) -> tuple[NDArray[np.float32], float]:
    """Return a song's mono audio at `RATE` and the tempo that it was written in."""
    rng = np.random.default_rng(seed)
    song = draw_song((genre,), ("happy",), seconds, rng)
    artist = draw_artists(0)[list(GENRES).index(genre)]
    return record(song, compose(song, rng), artist, RATE, rng).mean(axis=1), song.tempo


def _split(track_id: str) -> str:
    bucket = int.from_bytes(hashlib.sha256(track_id.encode()).digest()[:8], "big") % 100
    return "train" if bucket < 80 else "validation" if bucket < 90 else "test"


def test_samples_are_the_same_bytes_again_and_with_more_workers(
    folder: Path, tmp_path: Path
) -> None:
    write_samples(tmp_path, replace(TINY, workers=2))
    assert _contents(tmp_path) == _contents(folder)


def test_samples_differ_by_seed(folder: Path, tmp_path: Path) -> None:
    write_samples(tmp_path, replace(TINY, n_tracks=2, seed=5))
    assert _rows(tmp_path)[0]["title"] != _rows(folder)[0]["title"]


def test_track_does_not_depend_on_the_size_of_the_catalogue(folder: Path, tmp_path: Path) -> None:
    write_samples(tmp_path, replace(TINY, n_tracks=2))
    whole = _contents(folder)
    for row in _rows(tmp_path)[:2]:
        assert (tmp_path / row["path"]).read_bytes() == whole[row["path"]]


def test_second_call_touches_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_samples(folder, TINY)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_interrupted_catalogue_is_completed_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    manifest = write_samples(tmp_path, TINY)
    kept, *lost = sorted((tmp_path / "audio").glob("demo_*"))
    manifest.unlink()
    for path in lost:
        path.unlink()
    lost[0].with_name(f".part-{lost[0].name}").write_bytes(b"half of a file")
    written = kept.stat().st_mtime_ns
    write_samples(tmp_path, TINY)
    assert _contents(tmp_path) == _contents(folder)
    assert kept.stat().st_mtime_ns == written


def test_other_settings_replace_the_catalogue(tmp_path: Path) -> None:
    write_samples(tmp_path, TINY)
    fewer = replace(TINY, n_tracks=1, bad_rows=False)
    write_samples(tmp_path, fewer)
    assert [row["track_id"] for row in _rows(tmp_path)] == ["demo_001"]
    assert len(list((tmp_path / "audio").iterdir())) == 1


def test_foreign_manifest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tracks.csv").write_text("track_id,path\n")
    with pytest.raises(CatalogError, match="another folder"):
        write_samples(tmp_path, TINY)
    assert (tmp_path / "tracks.csv").read_text() == "track_id,path\n"


def test_manifest_has_its_columns_and_known_tags(folder: Path) -> None:
    rows = _rows(folder)
    assert tuple(rows[0]) == COLUMNS
    for row in rows[: TINY.n_tracks]:
        assert set(row["genre"].split("|")) <= set(GENRES)
        assert set(filter(None, row["mood"].split("|"))) <= set(MOODS)


def test_audio_is_readable_sound_of_the_right_length(folder: Path) -> None:
    for row in _rows(folder)[: TINY.n_tracks]:
        audio, rate = sf.read(folder / row["path"], dtype="float32", always_2d=True)
        # mp3 frames may add an encoder's delay at either end.
        assert TINY.min_seconds - 0.01 <= len(audio) / rate <= TINY.max_seconds + 0.1
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() < 0.99
        assert np.sqrt((audio**2).mean()) > 0.003


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_format_is_readable_and_the_same_bytes_again(tmp_path: Path, suffix: str) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 22_050).astype(np.float32) * 0.5
    for name in ("a", "b"):
        write_audio(tmp_path / f"{name}.{suffix}", tone, 22_050)
    first, second = (tmp_path / f"{name}.{suffix}" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    decoded, rate = sf.read(first, dtype="float32")
    assert rate == 22_050
    assert np.sqrt((decoded**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_bad_rows_are_bad(folder: Path) -> None:
    bad = _rows(folder)[TINY.n_tracks :]
    by_id = {row["track_id"]: folder / row["path"] for row in bad}
    ids = Counter(row["track_id"] for row in _rows(folder))
    assert len(bad) == 8
    assert not by_id["bad_missing"].exists()
    for name in ("bad_corrupt", "bad_text"):
        with pytest.raises(sf.LibsndfileError):
            sf.info(by_id[name])
    assert ids["demo_001"] == 2
    assert ids[""] == 1
    assert not sf.read(by_id["bad_silent"])[0].any()
    assert 0 < sf.info(by_id["bad_short"]).duration < 10
    assert not by_id["bad_outside"].resolve().is_relative_to(folder.resolve())


def test_default_catalogue_fills_every_split(default_tracks: list[Track]) -> None:
    for split in ("train", "validation", "test"):
        tracks = [track for track in default_tracks if _split(track.track_id) == split]
        genres = Counter(genre for track in tracks for genre in track.genres)
        moods = Counter(mood for track in tracks for mood in track.moods)
        assert len(tracks) >= 15
        assert min(genres[name] for name in GENRES) >= 2
        assert min(moods[name] for name in MOODS) >= 2


def test_default_catalogue_is_varied(default_tracks: list[Track]) -> None:
    played: dict[str, set[str]] = {}
    for track in default_tracks:
        played.setdefault(track.artist.name, set()).add(track.genres[0])
        assert 20 <= track.seconds <= 40
    assert len(default_tracks) >= 120
    assert len(played) >= 20
    assert sum(len(genres) > 1 for genres in played.values()) >= 3
    assert {len(track.genres) for track in default_tracks} == {1, 2}
    assert {len(track.moods) for track in default_tracks} == {0, 1, 2}
    assert {track.path.rpartition(".")[2] for track in default_tracks} == {
        "wav",
        "flac",
        "ogg",
        "mp3",
    }
    assert {track.rate for track in default_tracks} == {22_050, 32_000, 44_100}
    assert {track.channels for track in default_tracks} == {1, 2}


@pytest.mark.parametrize("genre", GENRES)
def test_record_is_finite_and_not_clipped(genre: str) -> None:
    audio, _ = _play(genre, seed=3, seconds=6.0)
    assert len(audio) == 6 * RATE
    assert np.isfinite(audio).all()
    assert 0.01 < np.abs(audio).max() <= PEAK + 1e-6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("genre", "low", "high"), [("electronic", 118, 136), ("hip hop", 78, 98)])
def test_genre_is_played_in_its_tempo(genre: str, low: float, high: float, seed: int) -> None:
    audio, written = _play(genre, seed, seconds=16.0)
    hop = 160
    onsets = librosa.onset.onset_strength(y=audio, sr=RATE, hop_length=hop, n_fft=1024)
    onsets -= onsets.mean()
    correlation = np.correlate(onsets, onsets, "full")[onsets.size - 1 :]
    # A comb over eight beats, within the octave that holds both genres: the true beat's multiples
    # all fall on strokes, a syncopation's do not.
    tempi = np.arange(72.0, 140.0, 0.25)
    lags = np.rint(np.outer(60 / tempi, np.arange(1, 9)) * RATE / hop).astype(int)
    tempo = tempi[np.argmax(correlation[lags].mean(axis=1))]
    assert tempo == pytest.approx(written, rel=0.02)
    assert 0.98 * low <= tempo <= 1.02 * high


def test_ambient_has_fewer_onsets_than_electronic() -> None:
    def flux(genre: str) -> float:
        audio, _ = _play(genre, seed=1)
        strength = librosa.onset.onset_strength(y=audio / np.abs(audio).max(), sr=RATE)
        return float(np.mean(strength > 1.5))

    assert 2 * flux("ambient") < flux("electronic")


def test_sections_cover_the_song_and_sound_different() -> None:
    song = draw_song(("rock",), ("happy",), 30.0, np.random.default_rng(0))
    spans = sections(song)
    assert spans[0][1] == 0
    assert [a for _, a, _ in spans[1:]] == [b for _, _, b in spans[:-1]]
    assert spans[-1][2] * song.groove.steps * song.step >= 30.0
    assert len({name for name, _, _ in spans}) >= 3


def test_moods_lean_towards_their_scale_and_tempo() -> None:
    def draw(mood: str) -> tuple[float, float]:
        songs = [
            draw_song(("folk",), (mood,), 20.0, np.random.default_rng(seed)) for seed in range(80)
        ]
        major = np.mean([4 in song.scale for song in songs])  # a major third
        return float(major), float(np.mean([song.tempo for song in songs]))

    (happy, fast), (sad, slow) = draw("happy"), draw("sad")
    assert 0.5 < happy < 1.0
    assert 0.0 < sad < 0.5
    assert fast > slow + 5


@pytest.mark.parametrize(
    "groove", [groove for genre in GENRES.values() for groove in genre.grooves]
)
def test_groove_rows_fill_one_bar(groove: Groove) -> None:
    assert groove.steps in (12, 16)
    assert {len(row) for row in (*groove.drums.values(), groove.chords)} == {groove.steps}


def test_scales_have_seven_rising_degrees() -> None:
    assert all(len(scale) == 7 and list(scale) == sorted(scale) for scale in SCALES.values())
