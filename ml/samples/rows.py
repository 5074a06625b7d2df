"""The rows of the demo catalogue: sound tracks, and a few that a catalogue must refuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.samples.artists import Artist, draw_artists
from ml.samples.names import TITLES
from ml.samples.songs import pick
from ml.samples.styles import GENRES, MOODS

COLUMNS = ("track_id", "path", "title", "artist", "album", "genre", "mood")
BAD_FILES = ("bad_corrupt.flac", "bad_text.mp3", "bad_silent.wav", "bad_short.ogg")
SECOND_GENRE, SECOND_MOOD, NO_MOOD = 0.2, 0.25, 0.12  # shares of the tracks
# Encoding ogg and mp3 takes longer than making the music, hence fewer of them.
_FORMATS = {"ogg": 0.15, "flac": 0.45, "wav": 0.33, "mp3": 0.07}
_RATES = {"22050": 0.55, "32000": 0.3, "44100": 0.15}


@dataclass(frozen=True)
class Track:
    """One track to make: its row, and what its sound needs beyond it."""

    index: int
    track_id: str
    path: str
    title: str
    artist: Artist
    album: str
    genres: tuple[str, ...]
    moods: tuple[str, ...]  # as tagged; may be empty
    feeling: tuple[str, ...]  # as played; never empty
    seconds: float
    rate: int
    channels: int

    @property
    def row(self) -> tuple[str, ...]:
        """The manifest's row, in the order of `COLUMNS`."""
        tags = ("|".join(self.genres), "|".join(self.moods))
        return (self.track_id, self.path, self.title, self.artist.name, self.album, *tags)


def _leading_genre(index: int) -> str:
    # Turned by one in each round: every split of hashed ids then gets tracks of every genre.
    names = list(GENRES)
    return names[(index - index // len(names)) % len(names)]


def _draw_artist(genre: str, artists: list[Artist], rng: np.random.Generator) -> Artist:
    able = [artist for artist in artists if genre in artist.genres]
    return able[int(rng.integers(len(able)))]


def _draw_genres(genre: str, artist: Artist, rng: np.random.Generator) -> tuple[str, ...]:
    if rng.random() >= SECOND_GENRE:
        return (genre,)
    others = [name for name in GENRES if name != genre]
    return genre, next((g for g in artist.genres if g != genre), str(rng.choice(others)))


def _draw_moods(genre: str, rng: np.random.Generator) -> tuple[str, ...]:
    weights = GENRES[genre].moods or dict.fromkeys(MOODS, 1.0)
    first = pick(weights, rng)
    if rng.random() >= SECOND_MOOD:
        return (first,)
    return first, pick({name: w for name, w in weights.items() if name != first}, rng)


def draw_track(
    index: int, seed: int, seconds: tuple[float, float], artists: list[Artist] | None = None
) -> Track:
    """Draw one track; neither the other tracks nor their order matter.

    Parameters
    ----------
    index : int
        Number of the track, from 0.
    seed : int
        The catalogue's seed.
    seconds : (float, float)
        Shortest and longest duration.
    artists : list of Artist, optional
        The catalogue's artists, if they are drawn already.

    Returns
    -------
    Track
        The row and what the sound needs.
    """
    rng = np.random.default_rng((seed, 2, index))
    artist = _draw_artist(_leading_genre(index), artists or draw_artists(seed), rng)
    genres = _draw_genres(_leading_genre(index), artist, rng)
    feeling = _draw_moods(genres[0], rng)
    track_id = f"demo_{index + 1:03d}"
    return Track(
        index=index,
        track_id=track_id,
        path=f"audio/{track_id}.{pick(_FORMATS, rng)}",
        title=" ".join(str(rng.choice(words)) for words in TITLES),
        artist=artist,
        album=str(rng.choice(artist.albums)),
        genres=genres,
        moods=() if rng.random() < NO_MOOD else feeling,
        feeling=feeling,
        seconds=rng.uniform(*seconds),
        rate=int(pick(_RATES, rng)),
        channels=int(rng.integers(1, 3)),
    )


def bad_rows(first: Track) -> list[tuple[str, ...]]:
    """Rows that a catalogue must refuse, one for each reason.

    Parameters
    ----------
    first : Track
        A good track, to be repeated.

    Returns
    -------
    list of tuple of str
        Rows in the order of `COLUMNS`.
    """
    tags = ("Test Pressings", "Rejected", "folk", "calm")
    return [
        ("bad_missing", "audio/bad_missing.flac", "No File", *tags),
        ("bad_corrupt", "audio/bad_corrupt.flac", "Random Bytes", *tags),
        ("bad_text", "audio/bad_text.mp3", "Words Instead of Music", *tags),
        (first.track_id, first.path, "The Same Id Again", *tags),
        ("bad_silent", "audio/bad_silent.wav", "Digital Silence", *tags),
        ("bad_short", "audio/bad_short.ogg", "Over Too Soon", *tags),
        ("bad_outside", "../outside.flac", "Outside the Catalogue", *tags),
        ("", first.path, "No Id", *tags),
    ]
