"""From a song's plan to its notes: sections, harmony, grooves and melodies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ml.samples.songs import Song

# Which parts play in a section, and how loud it is.
_PARTS: dict[str, tuple[frozenset[str], float]] = {
    "intro": (frozenset({"chords", "hats"}), 0.55),
    "verse": (frozenset({"drums", "hats", "bass", "chords"}), 0.75),
    "chorus": (frozenset({"drums", "hats", "bass", "chords", "lead", "pad"}), 1.0),
    "break": (frozenset({"pad", "lead", "hats", "bass"}), 0.5),
    "outro": (frozenset({"chords", "bass", "pad"}), 0.55),
}
_HATS = frozenset({"hat", "shaker", "ride"})
_STROKES = {"x": 1.0, "o": 0.75, "-": 0.45}
_HIGHEST = 86  # MIDI number above which a melody turns shrill
_CHORD_NOTES = {"r": 0, "3": 1, "5": 2, "7": 3}


@dataclass(frozen=True)
class Event:
    """One note: part, MIDI number (or the drum's name), onset and length in s, velocity 0..1."""

    part: str
    pitch: int | str
    start: float
    seconds: float
    velocity: float


def sections(song: Song) -> list[tuple[str, int, int]]:
    """Cut the song into sections of whole bars.

    Parameters
    ----------
    song : Song
        The plan.

    Returns
    -------
    list of (str, int, int)
        Name, first bar and the bar after the last; together they cover the song.
    """
    bars = int(np.ceil(song.seconds / (song.step * song.groove.steps)))
    shares = np.cumsum([share for _, share in song.form])
    edges = [0, *np.rint(bars * shares / shares[-1]).astype(int).tolist()]
    return [
        (name, a, b) for (name, _), (a, b) in zip(song.form, pairwise(edges), strict=True) if b > a
    ]


def _degree(song: Song, degree: int) -> int:
    octave, step = divmod(degree, len(song.scale))
    return song.scale[step] + 12 * octave


def _notes(row: str) -> Iterator[tuple[int, int, str]]:
    """Step, length in steps and symbol of every note in a row."""
    starts = [i for i, symbol in enumerate(row) if symbol not in "._"]
    for start in starts:
        end = start + 1
        while end < len(row) and row[end] == ".":
            end += 1
        yield start, end - start, row[start]


def _swung(song: Song, step: float) -> float:
    late = step % (2 * song.genre.swing_steps) == song.genre.swing_steps
    return step + (song.genre.swing * song.genre.swing_steps / 2 if late else 0)


def _drums(song: Song, parts: frozenset[str], fill: bool, rng: np.random.Generator) -> list[Event]:
    events = []
    for drum, row in song.groove.drums.items():
        if ("hats" if drum in _HATS else "drums") not in parts:
            continue
        for step, _, symbol in _notes(row):
            # Soft strokes are the first to go when a mood thins the music out.
            if rng.random() < song.density * (0.7 if symbol == "-" else 1.6):
                events.append(Event("drums", drum, step, 1, _STROKES[symbol]))
    if fill and "drums" in parts and "kick" in song.groove.drums:
        drum = str(rng.choice(("snare", "tom")))
        last = song.groove.steps
        events += [Event("drums", drum, s, 1, 0.5 + 0.1 * s / last) for s in range(last - 4, last)]
    return events


def _bass(song: Song, chord: int, rng: np.random.Generator) -> list[Event]:
    events = []
    for step, length, symbol in _notes(song.groove.bass):
        if step and rng.random() > 0.6 + 0.4 * song.density:
            continue
        pitch = _degree(song, chord + 2 * _CHORD_NOTES.get(symbol, 0)) + 12 * (symbol == "o")
        events.append(Event("bass", song.root - 24 + pitch, step, length, 0.9))
    return events


def _chords(song: Song, chord: int, rng: np.random.Generator) -> list[Event]:
    # A distorted triad is mud, so guitars play the root (and add its fifth themselves).
    size = 1 if song.tones["chords"] == "overdriven" else song.genre.chord_size
    degrees = [chord + 2 * i for i in range(size)]
    # Inversions: every note within an octave and a half round the tonic, so that chords join up.
    pitches = sorted((_degree(song, d) + 5) % 12 - 5 for d in degrees)
    base = song.root + song.register
    events = []
    for step, length, symbol in _notes(song.groove.chords):
        if step and rng.random() > 0.55 + 0.45 * song.density:
            continue
        chosen = pitches if symbol == "x" else [pitches[int(symbol) % len(pitches)]]
        events += [Event("chords", base + p, step, length, 0.8) for p in chosen]
    return events


def _motif(song: Song, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Two bars of melody: step and scale degree above the chord's root."""
    grid = song.genre.lead_step
    wanted = min(song.genre.lead_density * song.density, 0.9)
    degree, motif = int(rng.choice((0, 2, 4, 7))), []
    for step in range(0, 2 * song.groove.steps, grid):
        strong = step % 8 == 0
        if rng.random() < wanted * (1.3 if strong else 0.9):
            degree = int(np.clip(degree + rng.choice((-2, -1, -1, 1, 1, 2, 3)), -2, 9))
            motif.append((step, degree - degree % 2 if strong else degree))
    return motif


def _lead(song: Song, chord: int, motif: list[tuple[int, int]], bar: int) -> list[Event]:
    steps = song.groove.steps
    ends = [*(step for step, _ in motif[1:]), 2 * steps]
    events = []
    for (step, degree), end in zip(motif, ends, strict=False):  # there may be none
        if step // steps == bar % 2:
            pitch = song.root + 12 + _degree(song, chord + degree) + song.register
            pitch = pitch - 12 * (pitch > _HIGHEST)
            events.append(Event("lead", pitch, step % steps, min(end - step, 8), 0.85))
    return events


def _pad(song: Song, chord: int) -> list[Event]:
    pitches = [(_degree(song, chord + 2 * i) + 5) % 12 - 5 for i in range(3)]
    base, steps = song.root - 12 + song.register, song.groove.steps
    return [Event("pad", base + pitch, 0, steps, 0.7) for pitch in pitches]


def _place(song: Song, event: Event, bar: int, loudness: float, rng: np.random.Generator) -> Event:
    """From steps within a bar to seconds, with the player's inaccuracy."""
    length = event.seconds * song.step * (1 if event.part == "pad" else song.articulation)
    start = (bar * song.groove.steps + _swung(song, event.start)) * song.step
    accent = rng.normal(1, 0.08) * (0.5 + 0.5 * song.velocity)
    return replace(
        event,
        start=max(start + rng.normal(0, 1) * song.genre.humanise, 0.0),
        seconds=round(min(max(length, 0.06), 4.0), 2),  # rounded, so that equal notes are shared
        velocity=float(np.clip(event.velocity * loudness * accent, 0.05, 1)),
    )


def compose(song: Song, rng: np.random.Generator) -> list[Event]:
    """Write the notes of a song.

    Parameters
    ----------
    song : Song
        The plan.
    rng : np.random.Generator
        Source of melodies, omissions and inaccuracy.

    Returns
    -------
    list of Event
        Every note, in seconds from the song's start.
    """
    motifs = {name: _motif(song, rng) for name in _PARTS}
    score = []
    for name, first, last in sections(song):
        parts, loudness = _PARTS[name]
        progression = song.chorus if name == "chorus" else song.verse
        for bar in range(first, last):
            chord = progression[(bar - first) % len(progression)]
            events = _drums(song, parts, fill=bar == last - 1 and rng.random() < 0.6, rng=rng)
            events += _bass(song, chord, rng) if "bass" in parts else []
            events += _chords(song, chord, rng) if "chords" in parts else []
            events += _lead(song, chord, motifs[name], bar) if "lead" in parts else []
            events += _pad(song, chord) if "pad" in parts else []
            score += [_place(song, event, bar, loudness, rng) for event in events]
    return score
