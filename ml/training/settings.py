"""Everything that decides what a training run learns."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from ml.audio import SAMPLE_RATE
from ml.convnet import ConvNetSettings, Variant
from ml.effects.chain import EffectSettings
from ml.errors import TrainingError
from ml.training.minibatches import MinibatchSettings, require_at_least_one
from ml.training.rendering import Domain
from ml.triplets import PRESETS, TERMS, TripletSettings

TIMBRE = 32
"""Dimensions of the 128 that hold the timbre: docs/decisions/0006 says what they brought."""


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
    validation_clips : int
        Most clips that an epoch is validated on: those of tracks drawn by the seed, if there are
        more.
    seed : int
        Of weights, minibatches and effects.
    precision : {"auto", "float32", "bf16"}
        Of the network's passes; "auto" is a half precision on a GPU and, on a CPU, what a short
        measurement finds faster, so that another machine may learn slightly other weights.
    """

    encoder: ConvNetSettings = field(default_factory=lambda: ConvNetSettings(timbre=TIMBRE))
    effects: EffectSettings = field(default_factory=EffectSettings)
    triplets: TripletSettings = field(default_factory=TripletSettings)
    minibatch: MinibatchSettings = field(default_factory=MinibatchSettings)
    crop_seconds: float = 4.0
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.02
    epochs: int = 8
    patience: int = 4
    validation_clips: int = 4000
    seed: int = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "float32", "bf16"):
            raise TrainingError(
                f"No precision {self.precision!r}: use one of ('auto', 'float32', 'bf16')."
            )
        for name in ("epochs", "patience", "validation_clips"):
            require_at_least_one(name, getattr(self, name))
        for name in ("learning_rate", "weight_decay", "seed"):
            if not getattr(self, name) >= 0:
                raise TrainingError(f"{name} must be 0 or above, not {getattr(self, name)}.")
        if not 0 <= self.warmup <= 1:
            raise TrainingError(f"warmup must be a share from 0 to 1, not {self.warmup}.")
        half_window = self.encoder.spectrogram.n_fft / 2 / SAMPLE_RATE
        if not self.crop_seconds > half_window:
            raise TrainingError(
                f"crop_seconds must be above {half_window} (half a window of the spectrogram), "
                f"not {self.crop_seconds}."
            )

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
    domain: str = MinibatchSettings.domain,
    timbre: int = TIMBRE,
    colour_db: float = EffectSettings.colour_db,
    without: Sequence[str] = (),
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
    domain : str
        Where the effects are applied.
    timbre : int
        Dimensions of the embedding that hold the timbre; 0 for the paper's encoder.
    colour_db : float
        Of the equalisers through which the network hears; 0 for the paper's training.
    without : sequence of str
        Terms of the objective that are switched off.
    **settings
        Further fields of `TrainingSettings`.

    Returns
    -------
    TrainingSettings

    Raises
    ------
    TrainingError
        A name is unknown, or a setting cannot be.
    """
    if variant not in get_args(Variant):
        raise TrainingError(f"No ConvNet variant {variant!r}: use one of {get_args(Variant)}.")
    if objective not in PRESETS:
        raise TrainingError(f"No objective {objective!r}: use one of {tuple(PRESETS)}.")
    if domain not in get_args(Domain):
        raise TrainingError(f"No domain {domain!r}: use one of {get_args(Domain)}.")
    if unknown := sorted(set(without) - set(TERMS)):
        raise TrainingError(f"No terms {unknown}: use some of {TERMS}.")
    off: dict[str, Any] = dict.fromkeys(without, 0.0)
    try:
        encoder = ConvNetSettings(variant=cast("Variant", variant), timbre=timbre)
        effects = EffectSettings(colour_db=colour_db)
    except ValueError as error:
        raise TrainingError(f"{error}.") from error
    return TrainingSettings(
        encoder=encoder,
        effects=effects,
        triplets=replace(PRESETS[objective], **off),
        minibatch=MinibatchSettings(
            tracks=tracks_per_minibatch,
            crops=crops_per_track,
            steps=steps_per_epoch,
            domain=cast("Domain", domain),
        ),
        **settings,
    )
