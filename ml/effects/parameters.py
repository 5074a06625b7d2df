"""What the effects chain may do, and what it will do to each clip: settings, and draws from them.

An effect is first drawn, then applied: what is drawn here is all that `chain` needs, so a
transformed clip can be made again from its parameters.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ml.effects.noise import uniform

PARAMETER_STREAM = 0  # of an example's random numbers
Range = tuple[float, float]


@dataclass(frozen=True)
class EffectSettings:
    """Probabilities and ranges of the effects; one that is off leaves the clip as it is.

    Parameters
    ----------
    sample_rate : int
        Hz.
    shift_probability, shift_seconds
        Time shift, uniform within plus or minus so many seconds.
    stretch_probability, rate
        Time stretch, log-uniform; a rate above 1 is faster.
    pitch_probability, semitones
        Pitch shift, uniform within plus or minus so many semitones.
    reverb_probability, decay_seconds, wet_db
        Reverberation: RT60, log-uniform, and level of the echoes relative to the direct sound,
        uniform in decibels.
    noise_probability, snr_db, noise_truncation
        Additive noise: level of the sound over the standard deviation of the Gaussian, uniform in
        decibels, and the number of standard deviations at which it is cut off.
    gain_probability, gain_db
        Gain, uniform within plus or minus so many decibels; not in the paper.
    tilt_probability, tilt_db_per_octave
        Spectral tilt, uniform within plus or minus so many decibels per octave; not in the paper.
    lowpass_probability, lowpass_hz
        Band limit as of a lossy codec: cutoff in Hz, log-uniform; not in the paper.
    colour_db
        Standard deviation, in decibels, of the equalisers through which a network in training
        hears both versions of a crop (`ml.effects.colour`); not in the paper.
    """

    sample_rate: int = 16_000
    shift_probability: float = 0.8
    shift_seconds: float = 0.5
    stretch_probability: float = 0.8
    rate: Range = (0.8, 1.25)
    pitch_probability: float = 0.8
    semitones: float = 3.0
    reverb_probability: float = 0.5
    decay_seconds: Range = (0.1, 1.0)
    wet_db: Range = (-20.0, -3.0)
    noise_probability: float = 0.5
    snr_db: Range = (10.0, 40.0)
    noise_truncation: float = 2.0
    gain_probability: float = 0.5
    gain_db: float = 6.0
    tilt_probability: float = 0.5
    tilt_db_per_octave: float = 1.5
    lowpass_probability: float = 0.0
    lowpass_hz: Range = (3000.0, 7500.0)
    colour_db: float = 6.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_probability") and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be from 0 to 1, not {value}")
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise ValueError(f"{field.name} must go from low to high, not {value}")
        for name in ("rate", "decay_seconds", "lowpass_hz"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} must be above zero, not {getattr(self, name)}")
        if self.colour_db < 0:
            raise ValueError(f"colour_db must be 0 or above, not {self.colour_db}")
        if self.noise_truncation <= 0:
            raise ValueError(f"noise_truncation must be above zero, not {self.noise_truncation}")


PAPER_EFFECTS = EffectSettings(
    gain_probability=0, tilt_probability=0, lowpass_probability=0, colour_db=0
)


@dataclass(frozen=True)
class EffectParameters:
    """What is done to each of B clips; every tensor has shape (B,) and lies on the CPU.

    Parameters
    ----------
    seed : Tensor
        Int64: noise and impulse response follow from it.
    shift : Tensor
        Seconds; above zero reads later. Off: 0.
    rate : Tensor
        Above 1 is faster. Off: 1.
    semitones : Tensor
        Above 0 is higher. Off: 0.
    decay, wet_db : Tensor
        RT60 of the reverberation in seconds, and its level. Off: a decay of 0.
    snr_db : Tensor
        Level of the sound over the noise. Off: infinity.
    gain_db, tilt : Tensor
        Decibels, and decibels per octave. Off: 0.
    lowpass : Tensor
        Hz, above which nothing is left of the sound; noise comes after it. Off: infinity.
    noise_truncation : float
        Standard deviations at which the noise is cut off.
    sample_rate : int
        Hz.
    """

    seed: Tensor
    shift: Tensor
    rate: Tensor
    semitones: Tensor
    decay: Tensor
    wet_db: Tensor
    snr_db: Tensor
    gain_db: Tensor
    tilt: Tensor
    lowpass: Tensor
    noise_truncation: float
    sample_rate: int

    def __len__(self) -> int:
        return len(self.seed)

    def select(self, index: Tensor | slice) -> "EffectParameters":
        """Parameters of some of the clips."""
        chosen: dict[str, Any] = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **chosen)


def draw_parameters(
    settings: EffectSettings, n: int, generator: torch.Generator
) -> EffectParameters:
    """Turn each effect on or off and set it, for each of `n` clips.

    Each clip takes one number from the generator and everything else from that, so its parameters
    do not depend on how many clips are drawn with it or after it.

    Parameters
    ----------
    settings : EffectSettings
        Probabilities and ranges.
    n : int
        Number of clips.
    generator : torch.Generator
        Seeded, on the CPU.

    Returns
    -------
    EffectParameters
        Of `n` clips.
    """
    seed = torch.randint(2**62, (n,), generator=generator)
    draws = uniform(seed, 17, PARAMETER_STREAM).double().unbind(1)

    def pick(switch: int, probability: float, values: Tensor, off: float) -> Tensor:
        return torch.where(draws[switch] < probability, values, off)

    def between(draw: int, low: float, high: float) -> Tensor:
        return low + (high - low) * draws[draw]

    def around(draw: int, largest: float) -> Tensor:
        return between(draw, -largest, largest)

    def between_logs(draw: int, low: float, high: float) -> Tensor:
        return between(draw, math.log(low), math.log(high)).exp()

    s = settings
    return EffectParameters(
        seed=seed,
        shift=pick(0, s.shift_probability, around(1, s.shift_seconds), 0),
        rate=pick(2, s.stretch_probability, between_logs(3, *s.rate), 1),
        semitones=pick(4, s.pitch_probability, around(5, s.semitones), 0),
        decay=pick(6, s.reverb_probability, between_logs(7, *s.decay_seconds), 0),
        wet_db=between(8, *s.wet_db),
        snr_db=pick(9, s.noise_probability, between(10, *s.snr_db), math.inf),
        gain_db=pick(11, s.gain_probability, around(12, s.gain_db), 0),
        tilt=pick(13, s.tilt_probability, around(14, s.tilt_db_per_octave), 0),
        lowpass=pick(15, s.lowpass_probability, between_logs(16, *s.lowpass_hz), math.inf),
        noise_truncation=s.noise_truncation,
        sample_rate=s.sample_rate,
    )
