"""Music that is made on the spot, written in every format that a catalogue holds."""

from pathlib import Path

import numpy as np
import soundfile as sf

from ml.audio import Float32
from ml.samples.artists import draw_artists
from ml.samples.composition import compose
from ml.samples.mixing import record
from ml.samples.rows import draw_track
from ml.samples.songs import draw_song

RATE = 44_100
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
