"""Invented artists: a name, one or two genres, and a sound that all of their tracks share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.samples.drums import Kit
from ml.samples.names import BANDS
from ml.samples.oscillators import Timbre
from ml.samples.styles import GENRES

ARTISTS_PER_GENRE = 4
OCTAVES = 10  # equaliser bands: 31 Hz, 62 Hz ... 16 kHz


@dataclass(frozen=True)
class Artist:
    """Who plays, and how their records are made."""

    name: str
    genres: tuple[str, ...]
    albums: tuple[str, ...]
    timbre: Timbre
    kit: Kit
    equaliser: NDArray[np.float64]  # dB in each of `OCTAVES` bands
    reverb_seconds: float  # time in which the reverberation falls by 60 dB
    reverb_share: float
    drive: float  # 0 clean .. 3 saturated
    noise_db: float  # noise floor relative to full scale
    loudness_db: float  # root mean square relative to full scale
    width: float  # 0 mono .. 1 wide


def _titled(rng: np.random.Generator) -> str:
    return " ".join(str(rng.choice(words)) for words in BANDS)


def _draw_artist(index: int, seed: int) -> Artist:
    rng = np.random.default_rng((seed, 1, index))
    names = list(GENRES)
    home = index % len(names)
    second = names[(home + int(rng.integers(1, len(names)))) % len(names)]
    first, second_words = BANDS
    name = f"{first[index % len(first)]} {second_words[(7 * index + seed) % len(second_words)]}"
    return Artist(
        name=name,
        genres=(names[home], second) if index % 3 == 0 else (names[home],),
        albums=(_titled(rng), _titled(rng)),
        timbre=Timbre(
            brightness=rng.uniform(0.25, 0.75),
            attack=float(np.exp(rng.normal(0, 0.4))),
            decay=float(np.exp(rng.normal(0, 0.3))),
            detune=rng.uniform(2, 18),
            vibrato=rng.uniform(0, 16),
            modulation=float(np.exp(rng.normal(0, 0.3))),
        ),
        kit=Kit(
            tune=float(np.exp(rng.normal(0, 0.18))),
            decay=float(np.exp(rng.normal(0, 0.25))),
            brightness=rng.uniform(0, 1),
            snap=rng.uniform(0.2, 1),
        ),
        equaliser=rng.normal(0, 2.5, OCTAVES) + rng.normal(0, 1) * np.linspace(-4, 4, OCTAVES),
        reverb_seconds=rng.uniform(0.3, 2.0),
        reverb_share=rng.uniform(0.03, 0.3),
        drive=rng.uniform(0, 2.5),
        noise_db=rng.uniform(-75, -45),
        loudness_db=rng.uniform(-24, -14),
        width=rng.uniform(0.1, 1),
    )


def draw_artists(seed: int) -> list[Artist]:
    """Draw every artist of a catalogue.

    Parameters
    ----------
    seed : int
        The catalogue's seed.

    Returns
    -------
    list of Artist
        `ARTISTS_PER_GENRE` artists at home in each genre; every third one also plays another.
    """
    return [_draw_artist(index, seed) for index in range(ARTISTS_PER_GENRE * len(GENRES))]
