"""What makes a genre and a mood: tables, in the notation of a drum machine.

A groove is one bar of equal steps (sixteenths; twelve of them for three-four). In drum rows ``x``
is an accent, ``o`` a normal and ``-`` a soft stroke; in bass rows ``r 3 5 7 o`` are the chord's
root, third, fifth, seventh and the root's octave; in chord rows ``x`` is the whole chord and a
digit one of its notes. A note lasts until the next one; ``.`` holds, ``_`` is silence.
"""

from __future__ import annotations

from dataclasses import dataclass

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
}


@dataclass(frozen=True)
class Groove:
    """One bar: drum rows, a bass row and a chord row of equal length."""

    drums: dict[str, str]
    bass: str
    chords: str

    @property
    def steps(self) -> int:
        """Length of the bar in sixteenths."""
        return len(self.bass)


@dataclass(frozen=True)
class Genre:
    """A family of rhythms, tempi, harmonies and instruments; neighbours share instruments."""

    tempo: tuple[float, float]  # beats per minute
    grooves: tuple[Groove, ...]
    progressions: tuple[tuple[int, ...], ...]  # scale degrees, one per bar
    bass: tuple[str, ...]
    chords: tuple[str, ...]
    lead: tuple[str, ...]
    chord_size: int = 3
    swing: float = 0.0  # share of a step by which the late steps come later
    swing_steps: int = 1  # which steps are late: 1 odd sixteenths, 2 odd eighths
    humanise: float = 0.006  # standard deviation of onsets in seconds
    lead_step: int = 2  # grid of the melody in sixteenths
    lead_density: float = 0.5  # share of the grid that has a note
    moods: dict[str, float] | None = None  # how likely each mood is


@dataclass(frozen=True)
class Mood:
    """A tendency in scale, tempo, density, brightness, register and dynamics."""

    scales: dict[str, float]
    tempo: float  # factor
    density: float  # factor on how many notes are played
    brightness: float  # added to every timbre's
    register: int  # semitones added to chords and melody
    velocity: float  # how hard the notes are played, 0..1
    articulation: float  # factor on note lengths


MOODS: dict[str, Mood] = {
    "happy": Mood({"major": 0.7, "mixolydian": 0.2, "lydian": 0.1}, 1.06, 1.1, 0.12, 3, 0.8, 0.85),
    "sad": Mood({"minor": 0.7, "dorian": 0.2, "major": 0.1}, 0.88, 0.75, -0.15, -2, 0.55, 1.1),
    "calm": Mood({"major": 0.5, "lydian": 0.3, "dorian": 0.2}, 0.86, 0.6, -0.1, 0, 0.4, 1.2),
    "energetic": Mood(
        {"mixolydian": 0.4, "minor": 0.35, "major": 0.25}, 1.12, 1.35, 0.2, 2, 1, 0.7
    ),
    "dark": Mood({"phrygian": 0.55, "minor": 0.45}, 0.95, 0.9, -0.25, -6, 0.8, 1.0),
}

GENRES: dict[str, Genre] = {
    "ambient": Genre(
        tempo=(54, 78),
        grooves=(
            Groove({}, "r" + 15 * ".", "x" + 15 * "."),
            Groove({"shaker": "-..._..._...-..."}, 16 * "_", "0...1...2...1..."),
            Groove({"tom": "-...........-..."}, "r.......5.......", "x.......x......."),
        ),
        progressions=((0, 0, 3, 3), (0, 5, 3, 4), (0, 2, 5, 3), (0, 0, 0, 6)),
        bass=("sub_bass", "strings", "pad"),
        chords=("pad", "grains", "strings", "organ", "piano", "electric_piano"),
        lead=("bell", "flute", "grains", "piano", "electric_piano", "synth"),
        humanise=0.03,
        lead_step=4,
        lead_density=0.4,
        moods={"happy": 0.5, "sad": 1.2, "calm": 2.5, "energetic": 0.1, "dark": 1.2},
    ),
    "electronic": Genre(
        tempo=(118, 136),
        grooves=(
            Groove(
                {
                    "kick": "x...x...x...x...",
                    "open_hat": "..o...o...o...o.",
                    "clap": "....x.......x...",
                },
                "__r.__r.__r.__r.",
                "__x___x___x___x_",
            ),
            Groove(
                {"kick": "x...x...x...x...", "hat": "o-o-o-o-o-o-o-o-", "clap": "....x.......x..."},
                "r_ror_ror_ror_ro",
                "0_1_2_0_1_2_0_1_",
            ),
            Groove(
                {"kick": "x...x...x...x...", "rim": "..o..o....o..o..", "hat": "..x...x...x...x."},
                "r__r__r___r_r___",
                "x__x__x_________",
            ),
        ),
        progressions=((0, 0, 5, 6), (0, 5, 2, 6), (0, 0, 0, 0), (0, 3, 5, 4)),
        bass=("synth", "sub_bass", "pulse"),
        chords=("synth", "electric_piano", "organ", "pad", "strings", "piano"),
        lead=("pulse", "synth", "bell", "plucked", "flute"),
        humanise=0.0,
        lead_step=1,
        lead_density=0.45,
        moods={"happy": 1.2, "sad": 0.5, "calm": 0.4, "energetic": 2.0, "dark": 1.2},
    ),
    "folk": Genre(
        tempo=(84, 122),
        grooves=(
            Groove({}, "r.......5.......", "0.2.1.2.0.2.1.2."),
            Groove(
                {"shaker": "o.-.o.-.o.-.", "tom": "o..........."}, "r.......5...", "0...x...x..."
            ),
            Groove({"shaker": "-.o.-.o.-.o.-.o."}, "r...5...r...5...", "0.x.1.xx0.x.1.xx"),
            Groove({"tom": "o.....o.o......."}, "r.....5.r.......", "x.x.x.xxx.x.x.xx"),
        ),
        progressions=((0, 3, 4, 0), (0, 0, 3, 4), (0, 4, 5, 3), (0, 5, 3, 4)),
        bass=("plucked", "piano", "sub_bass"),
        chords=("plucked", "piano", "organ", "strings"),
        lead=("flute", "plucked", "strings", "piano", "bell"),
        humanise=0.014,
        lead_density=0.45,
        moods={"happy": 1.5, "sad": 1.5, "calm": 1.5, "energetic": 0.6, "dark": 0.4},
    ),
    "hip hop": Genre(
        tempo=(78, 98),
        grooves=(
            Groove(
                {
                    "kick": "x..o......x.....",
                    "snare": "....x.......x...",
                    "hat": "o.o.o.o.o.o.o.o.",
                },
                "r..r......5.....",
                "x......._.x...._",
            ),
            Groove(
                {
                    "kick": "x......o..x..o..",
                    "snare": "....x..-.-..x...",
                    "hat": "o-o-o-o-o-oooo-o",
                },
                "r......_..r..o._",
                "x.....x._.......",
            ),
            Groove(
                {
                    "kick": "x.o.......o.....",
                    "clap": "....x.......x...",
                    "shaker": "-.o.-.o.-.o.-.o.",
                },
                "r.r_......3.5._.",
                "0..1..2.0..1..2.",
            ),
        ),
        progressions=((0, 0, 5, 5), (0, 3, 0, 3), (0, 6, 5, 4), (0, 0, 0, 0)),
        bass=("sub_bass", "synth", "plucked"),
        chords=("electric_piano", "piano", "synth", "strings", "pad", "plucked"),
        lead=("brass", "bell", "pulse", "flute", "plucked"),
        chord_size=4,
        swing=0.32,
        humanise=0.008,
        lead_density=0.3,
        moods={"happy": 0.8, "sad": 1.0, "calm": 0.9, "energetic": 1.0, "dark": 1.5},
    ),
    "jazz": Genre(
        tempo=(108, 176),
        grooves=(
            Groove(
                {"ride": "o...o.-.o...o.-.", "hat": "....o.......o...", "kick": "-.......-......."},
                "r...3...5...7...",
                "x..___x_________",
            ),
            Groove(
                {
                    "ride": "o...o.-.o...o.-.",
                    "snare": "......-.......--",
                    "kick": "-......._....o..",
                },
                "r...5...o...7...",
                "__x___x___x_____",
            ),
            Groove({"ride": "o...o.-.o...", "rim": "....o...o..."}, "r...5...3...", "x.....x....."),
        ),
        progressions=((1, 4, 0, 0), (0, 5, 1, 4), (2, 5, 1, 4), (0, 3, 1, 4)),
        bass=("plucked", "sub_bass", "piano"),
        chords=("piano", "electric_piano", "organ", "plucked"),
        lead=("brass", "flute", "piano", "electric_piano", "plucked"),
        chord_size=4,
        swing=0.6,
        swing_steps=2,
        humanise=0.01,
        lead_density=0.7,
        moods={"happy": 1.4, "sad": 0.9, "calm": 1.2, "energetic": 1.0, "dark": 0.5},
    ),
    "rock": Genre(
        tempo=(104, 152),
        grooves=(
            Groove(
                {
                    "kick": "x.....o.x.......",
                    "snare": "....x.......x...",
                    "hat": "o.o.o.o.o.o.o.o.",
                },
                "r.r.r.r.r.r.r.r.",
                "x.x.x.x.x.x.x.x.",
            ),
            Groove(
                {
                    "kick": "x.x...x...x.....",
                    "snare": "....x.......x..o",
                    "ride": "x...x...x...x...",
                },
                "r...r.r...r.r.5.",
                "x.....x...x.....",
            ),
            Groove(
                {
                    "kick": "x...x...x...x...",
                    "snare": "..x...x...x...x.",
                    "hat": "x.x.x.x.x.x.x.x.",
                },
                "r.r.r.r.5.5.r.r.",
                "x.......x.......",
            ),
        ),
        progressions=((0, 5, 3, 4), (0, 3, 4, 3), (0, 6, 3, 0), (0, 4, 5, 3)),
        bass=("plucked", "synth", "overdriven"),
        chords=("overdriven", "organ", "plucked", "piano", "synth"),
        lead=("overdriven", "organ", "pulse", "brass", "strings"),
        humanise=0.007,
        lead_density=0.45,
        moods={"happy": 1.0, "sad": 0.6, "calm": 0.3, "energetic": 2.0, "dark": 1.2},
    ),
}
