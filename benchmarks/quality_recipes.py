"""Recipes that the quality benchmark compares: the default, and what differs from it in one thing.

Each earns its place, or loses it, on the same folds in the same CPU-minutes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ml.effects.chain import EffectSettings
from ml.training.minibatches import MinibatchSettings
from ml.training.settings import TrainingSettings
from ml.triplets import PRESETS

Recipe = Callable[[TrainingSettings], TrainingSettings]


def _without_timbre(usual: TrainingSettings) -> TrainingSettings:
    return replace(usual, encoder=replace(usual.encoder, timbre=0))


def _with_effects(change: Callable[[EffectSettings], EffectSettings]) -> Recipe:
    return lambda usual: replace(usual, effects=change(usual.effects))


def _with_minibatch(change: Callable[[MinibatchSettings], MinibatchSettings]) -> Recipe:
    return lambda usual: replace(usual, minibatch=change(usual.minibatch))


_without_colour = _with_effects(lambda e: replace(e, colour_db=0))


def _like_the_paper(usual: TrainingSettings) -> TrainingSettings:
    return replace(_without_colour(_without_timbre(usual)), triplets=PRESETS["paper"])


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "default": lambda usual: usual,
        "paper": _like_the_paper,
        "no-timbre": _without_timbre,
        "waveform": _with_minibatch(lambda m: replace(m, domain="waveform")),
        "no-colour": _without_colour,
        "no-gain": _with_effects(lambda e: replace(e, gain_probability=0)),
        "no-tilt": _with_effects(lambda e: replace(e, tilt_probability=0)),
        "lowpass": _with_effects(lambda e: replace(e, lowpass_probability=0.5)),
        "half-minibatch": _with_minibatch(lambda m: replace(m, tracks=m.tracks // 2)),
        "weight-decay": lambda usual: replace(usual, weight_decay=1e-4),
    }
)
"""By name: the default, the paper's objective and encoder, then changes of the default."""
