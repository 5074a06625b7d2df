"""Everything that decides what a training run learns."""

from dataclasses import dataclass, field
from typing import Any, cast, get_args

from ml.audio import SAMPLE_RATE
from ml.convnet import ConvNetSettings, Variant
from ml.effects import EffectSettings
from ml.errors import TrainingError
from ml.minibatches import MinibatchSettings
from ml.triplets import PRESETS, TripletSettings


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of a run, the seed included.

    Parameters
    ----------
    encoder, effects, triplets, minibatch
        Of the parts.
    crop_seconds : float
        Length of what the network sees at once; short crops are more examples per second.
    learning_rate, weight_decay : float
        Of Adam.
    warmup : float
        Share of the steps in which the learning rate rises; after them it falls by a cosine.
    epochs : int
        At most, each of ``minibatch.steps`` steps.
    patience : int
        Epochs without a better validation mAP after which training stops.
    seed : int
        Of weights, minibatches and effects.
    """

    encoder: ConvNetSettings = field(default_factory=ConvNetSettings)
    effects: EffectSettings = field(default_factory=EffectSettings)
    triplets: TripletSettings = field(default_factory=TripletSettings)
    minibatch: MinibatchSettings = field(default_factory=MinibatchSettings)
    crop_seconds: float = 4.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.02
    epochs: int = 8
    patience: int = 4
    seed: int = 0

    @property
    def crop_samples(self) -> int:
        """Samples of a crop at 16 kHz."""
        return round(self.crop_seconds * SAMPLE_RATE)


def configure(
    *,
    variant: str,
    objective: str,
    tracks_per_minibatch: int,
    crops_per_track: int,
    steps_per_epoch: int,
    **settings: Any,  # noqa: ANN401 (fields of TrainingSettings)
) -> TrainingSettings:
    """Build settings from the flat names that run configurations use.

    Parameters
    ----------
    variant : str
        Of the ConvNet.
    objective : str
        Name of a preset of the triplet terms.
    tracks_per_minibatch, crops_per_track, steps_per_epoch : int
        Composition and number of the minibatches.
    **settings
        Further fields of `TrainingSettings`.

    Returns
    -------
    TrainingSettings

    Raises
    ------
    TrainingError
        A name is unknown.
    """
    if variant not in get_args(Variant):
        raise TrainingError(f"No ConvNet variant {variant!r}: use one of {get_args(Variant)}.")
    if objective not in PRESETS:
        raise TrainingError(f"No objective {objective!r}: use one of {tuple(PRESETS)}.")
    return TrainingSettings(
        encoder=ConvNetSettings(variant=cast("Variant", variant)),
        triplets=PRESETS[objective],
        minibatch=MinibatchSettings(
            tracks=tracks_per_minibatch, crops=crops_per_track, steps=steps_per_epoch
        ),
        **settings,
    )
