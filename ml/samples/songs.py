"""The plan of one song: everything decided before a note is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ml.samples.styles import GENRES, MOODS, SCALES, Genre, Groove, Mood

# Sections and their shares of the song. A break or an intro is short, so that most clips hold the
# genre's rhythm; no two sections sound alike, so that two clips of a song differ.
FORMS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("intro", 1), ("verse", 3), ("chorus", 3), ("break", 1.5), ("chorus", 3)),
    (("verse", 3), ("chorus", 2), ("verse", 2), ("break", 1), ("chorus", 3)),
    (("intro", 1.5), ("chorus", 2), ("verse", 3), ("chorus", 3), ("outro", 1)),
    (("break", 1), ("verse", 4), ("chorus", 4), ("outro", 1)),
)


@dataclass(frozen=True)
class Song:
    """One song's plan."""

    seconds: float
    genre: Genre
    groove: Groove
    tempo: float  # beats (four steps) per minute
    root: int  # MIDI number of the tonic near middle C
    scale: tuple[int, ...]
    verse: tuple[int, ...]
    chorus: tuple[int, ...]
    form: tuple[tuple[str, float], ...]
    tones: dict[str, str]  # part -> instrument
    density: float
    brightness: float
    register: int
    velocity: float
    articulation: float

    @property
    def step(self) -> float:
        """Length of a sixteenth in seconds."""
        return 15 / self.tempo


def pick(weights: dict[str, float], rng: np.random.Generator) -> str:
    """Draw a key with a probability in proportion to its weight.

    Parameters
    ----------
    weights : dict of str to float
        Positive weights; they need not sum to one.
    rng : np.random.Generator
        Source of the draw.

    Returns
    -------
    str
        One key.
    """
    shares = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(shares.size, p=shares / shares.sum()))]


def _blend(moods: Sequence[str], rng: np.random.Generator) -> Mood:
    """Mean of the moods, loosely kept: a mood is a tendency."""
    chosen = [MOODS[name] for name in moods]
    numbers = {
        f.name: float(np.mean([getattr(m, f.name) for m in chosen])) for f in fields(Mood)[1:]
    }
    scales = chosen[int(rng.integers(len(chosen)))].scales
    return Mood(
        scales={name: scales.get(name, 0.0) + 0.03 for name in SCALES},
        tempo=numbers["tempo"] * rng.uniform(0.95, 1.05),
        density=numbers["density"] * rng.uniform(0.8, 1.2),
        brightness=numbers["brightness"] + rng.normal(0, 0.1),
        register=round(numbers["register"] + rng.normal(0, 3)),
        velocity=float(np.clip(numbers["velocity"] + rng.normal(0, 0.12), 0.25, 1)),
        articulation=numbers["articulation"] * rng.uniform(0.85, 1.15),
    )


def _choose_groove(genre: Genre, other: Genre, rng: np.random.Generator) -> Groove:
    """Take the first genre's drums; with a second genre, its bass and chords where bars agree."""
    groove = genre.grooves[int(rng.integers(len(genre.grooves)))]
    fitting = [g for g in other.grooves if g.steps == groove.steps and other is not genre]
    if not fitting:
        return groove
    second = fitting[int(rng.integers(len(fitting)))]
    return Groove(groove.drums or second.drums, second.bass, second.chords)


def draw_song(
    genres: Sequence[str], moods: Sequence[str], seconds: float, rng: np.random.Generator
) -> Song:
    """Draw the plan of a song of given genres and moods.

    Parameters
    ----------
    genres : sequence of str
        One or two names out of `GENRES`; the first one leads.
    moods : sequence of str
        One or more names out of `MOODS`.
    seconds : float
        Length of the song.
    rng : np.random.Generator
        Source of every choice.

    Returns
    -------
    Song
        The plan.
    """
    genre, other = GENRES[genres[0]], GENRES[genres[-1]]
    mood = _blend(moods, rng)
    pools = {
        part: getattr(genre, part) + getattr(other, part) for part in ("bass", "chords", "lead")
    }
    progressions = genre.progressions
    first, second = rng.permutation(len(progressions))[:2]
    return Song(
        seconds=seconds,
        genre=genre,
        groove=_choose_groove(genre, other, rng),
        tempo=float(np.clip(rng.uniform(*genre.tempo) * mood.tempo, *genre.tempo)),
        root=int(rng.integers(55, 67)),
        scale=SCALES[pick(mood.scales, rng)],
        verse=progressions[first],
        chorus=progressions[second],
        form=FORMS[int(rng.integers(len(FORMS)))],
        tones={part: str(rng.choice(pool)) for part, pool in pools.items()}
        | {"pad": str(rng.choice(("pad", "strings", "organ")))},
        density=mood.density,
        brightness=mood.brightness,
        register=mood.register,
        velocity=mood.velocity,
        articulation=mood.articulation,
    )
