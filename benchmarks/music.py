"""Music that is made on the spot, written in every format that a catalogue holds."""

import csv
from pathlib import Path

import numpy as np
import soundfile as sf

from ml.audio import SAMPLE_RATE, Float32
from ml.samples.artists import draw_artists
from ml.samples.composition import compose
from ml.samples.mixing import record
from ml.samples.rows import draw_track
from ml.samples.songs import draw_song

RATE = 44_100
MIXED_SECONDS, MIXED_SONGS, MIXED_AT_ONCE = 10.2, 24, 4
_BLOCK_FRAMES = 1 << 14  # libsndfile's Vorbis encoder overflows its stack on minutes at once


def make_music(seconds: float, seed: int = 0, rate: int = RATE) -> Float32:
    """Play a song of the sample catalogue.

    Parameters
    ----------
    seconds : float
        How long.
    seed : int
        Decides the song.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    numpy.ndarray [shape=(samples, 2)]
        float32 between -1 and 1.
    """
    generator = np.random.default_rng(seed)
    track = draw_track(seed, seed, (seconds, seconds), draw_artists(seed))
    song = draw_song(track.genres, track.feeling, seconds, generator)
    return record(song, compose(song, generator), track.artist, rate, generator)


def write_music(path: Path, music: Float32, rate: int = RATE) -> Path:
    """Write music in the format of the path's suffix.

    Parameters
    ----------
    path : Path
        Ends in a suffix that libsndfile knows.
    music : numpy.ndarray [shape=(samples,) or (samples, channels)]
        Between -1 and 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    Path
        The path.
    """
    channels = 1 if music.ndim == 1 else music.shape[1]
    with sf.SoundFile(path, "w", rate, channels) as file:
        for start in range(0, len(music), _BLOCK_FRAMES):
            file.write(music[start : start + _BLOCK_FRAMES])
    return path


def write_mixes(folder: Path, count: int) -> None:
    """Write short tracks and their manifest, each of some of a few songs in its own proportions.

    Of four songs: mixes of two would lie on a line, thousands of them, as no music does.

    Parameters
    ----------
    folder : Path
        Gets ``tracks.csv`` and what it names.
    count : int
        Number of tracks.
    """
    songs = [
        make_music(MIXED_SECONDS, seed, SAMPLE_RATE).mean(axis=1) for seed in range(MIXED_SONGS)
    ]
    generator = np.random.default_rng(0)
    rows = [("track_id", "path", "title", "artist", "album", "genre", "mood")]
    for number in range(count):
        chosen = generator.choice(MIXED_SONGS, MIXED_AT_ONCE, replace=False)
        shares = generator.dirichlet(np.ones(MIXED_AT_ONCE))
        mix = sum(share * songs[song] for share, song in zip(shares, chosen, strict=True))
        path = folder / "music" / f"{number // 1000:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_music(path, mix, SAMPLE_RATE)
        loudest = chosen[shares.argmax()]
        labels = (f"genre {loudest % 12}", f"mood {loudest % 5}")
        name = str(path.relative_to(folder))
        title, artist, album = f"Title {number}", f"Artist {number // 10}", ""
        rows.append((f"track {number}", name, title, artist, album, *labels))
    with (folder / "tracks.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
