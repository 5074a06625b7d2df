"""The baseline of Table 1: MFCC summarised over time, decorrelated by PCA (paper, section 3.1)."""

from collections.abc import Iterable
from dataclasses import dataclass

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ml.audio import SAMPLE_RATE
from ml.convnet import EMBEDDING_DIM

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class BaselineSettings:
    """How MFCCs are computed and summarised; the defaults are the paper's baseline.

    Parameters
    ----------
    n_mfcc, n_mels : int
        Numbers of coefficients and of mel bands.
    n_fft, hop : int
        Window and its step in samples, as the ConvNet's.
    deviation : bool
        Whether the standard deviation over time stands beside the mean.
    whiten : bool
        Whether the principal components are scaled to equal variance.
    """

    n_mfcc: int = 20
    n_mels: int = 128
    n_fft: int = 2048
    hop: int = 1024
    deviation: bool = True
    whiten: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n_mfcc <= self.n_mels:
            raise ValueError(f"choose n_mfcc from 1 to n_mels ({self.n_mels}), not {self.n_mfcc}")

    @property
    def features(self) -> int:
        """Count the statistics of a clip."""
        return self.n_mfcc * (2 if self.deviation else 1)


WHITENED = BaselineSettings(deviation=False, whiten=True)
"""Means of 20 MFCC, whitened: weaker in genre, but hard to beat in telling tracks apart."""


def summarise_mfcc(waveform: Float32, settings: BaselineSettings) -> Float32:
    """Mean and, if asked for, standard deviation over time of each cepstral coefficient.

    Parameters
    ----------
    waveform : numpy.ndarray [shape=(B, samples)]
        At 16 kHz.
    settings : BaselineSettings
        Of the MFCC.

    Returns
    -------
    numpy.ndarray [shape=(B, settings.features)]
    """
    mfcc = librosa.feature.mfcc(
        y=waveform,
        sr=SAMPLE_RATE,
        n_mfcc=settings.n_mfcc,
        n_mels=settings.n_mels,
        n_fft=settings.n_fft,
        hop_length=settings.hop,
    )
    statistics = [mfcc.mean(-1), mfcc.std(-1)] if settings.deviation else [mfcc.mean(-1)]
    return np.concatenate(statistics, axis=-1).astype(np.float32)


def fit_baseline(
    batches: Iterable[Float32], settings: BaselineSettings | None = None
) -> "BaselineEncoder":
    """Fit the principal components on the clips of training tracks.

    Parameters
    ----------
    batches : iterable of numpy.ndarray [shape=(B, samples)]
        Clips at 16 kHz; only training tracks, or the evaluation is worth nothing.
    settings : BaselineSettings, optional
        Of the MFCC.

    Returns
    -------
    BaselineEncoder
        Of the first 128 principal components, if there are more.
    """
    from sklearn.decomposition import IncrementalPCA  # seconds to import, needed for fitting alone

    settings = settings or BaselineSettings()
    features = np.concatenate([summarise_mfcc(batch, settings) for batch in batches])
    pca = IncrementalPCA(batch_size=max(256, 2 * features.shape[1])).fit(features)
    components, variance = pca.components_[:EMBEDDING_DIM], pca.explained_variance_[:EMBEDDING_DIM]
    if settings.whiten:
        # Directions without variance (fewer clips than features) would become infinite.
        varied = variance > 1e-9 * variance[0]
        components = components[varied] / np.sqrt(variance[varied])[:, None]
    tensors = {
        "mean": torch.from_numpy(pca.mean_.astype(np.float32)),
        "components": torch.from_numpy(components.astype(np.float32)),
    }
    return BaselineEncoder(settings, tensors)


class BaselineEncoder:
    """MFCC statistics in the coordinates of their principal components, scaled to norm 1.

    Parameters
    ----------
    settings : BaselineSettings
        Of the MFCC.
    tensors : dict of str to torch.Tensor
        `mean` ``[D]`` and `components` ``[K, D]`` of the PCA.

    Raises
    ------
    ValueError
        The tensors are not those of a PCA of as many features as the settings give, or hold
        more components than an embedding has dimensions.
    """

    architecture = "baseline"

    def __init__(self, settings: BaselineSettings, tensors: dict[str, Tensor]) -> None:
        features = settings.features
        shapes = {name: tuple(tensor.shape[-1:]) for name, tensor in tensors.items()}
        if shapes != {"mean": (features,), "components": (features,)}:
            raise ValueError(f"tensors do not fit {features} features: {shapes}")
        if len(tensors["components"]) > EMBEDDING_DIM:
            raise ValueError(f"more than {EMBEDDING_DIM} components: {len(tensors['components'])}")
        self.settings = settings
        self.tensors = tensors

    def encode(self, waveform: Tensor) -> Tensor:
        """Embed ``[B, samples]`` into ``[B, 128]``; the dimensions that PCA lacks are zero."""
        features = torch.from_numpy(summarise_mfcc(waveform.cpu().numpy(), self.settings))
        projected = (features - self.tensors["mean"]) @ self.tensors["components"].T
        padding = EMBEDDING_DIM - projected.shape[1]
        return functional.pad(functional.normalize(projected, dim=1), (0, padding))
