"""The baseline agrees with librosa and scikit-learn, taken one clip at a time."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from ml.baseline import WHITENED, BaselineSettings, fit_baseline, summarise_mfcc


@pytest.fixture(scope="module")
def clips() -> NDArray[np.float32]:
    """Coloured noise: clips that differ in their spectra, and over time."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((90, 16_000))
    spectrum = np.fft.rfft(noise) * np.exp(-np.linspace(0, 6, 8001) * rng.random((90, 1)))
    wave = np.fft.irfft(spectrum) * np.linspace(rng.random(90), rng.random(90), 16_000).T
    return (wave / 10).astype(np.float32)


def describe(clip: NDArray[np.float32]) -> NDArray[np.float64]:
    """MFCC of one clip, written out: power, mel bands, decibels, cosine transform."""
    power = np.abs(librosa.stft(clip, n_fft=2048, hop_length=1024)) ** 2
    mel = librosa.filters.mel(sr=16_000, n_fft=2048, n_mels=128) @ power
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=20)
    return np.concatenate([np.mean(mfcc, axis=1), np.std(mfcc, axis=1)])


def test_summary_is_mean_and_deviation_of_each_coefficient(clips: NDArray[np.float32]) -> None:
    expected = np.stack([describe(clip) for clip in clips[:5]])
    assert np.allclose(summarise_mfcc(clips[:5], BaselineSettings()), expected, atol=1e-2)


def test_components_are_those_of_the_whole_principal_component_analysis(
    clips: NDArray[np.float32],
) -> None:
    encoder = fit_baseline([clips[:50], clips[50:]])
    features = summarise_mfcc(clips, BaselineSettings())
    pca = PCA().fit(features)
    projected = (features - pca.mean_) @ pca.components_.T
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    vectors = encoder.encode(torch.from_numpy(clips)).numpy()
    assert vectors.shape == (90, 128)
    assert not vectors[:, 40:].any()
    # Distances are what is used; a component's sign is arbitrary.
    assert np.allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-4)
    assert np.allclose(np.abs(vectors[:, :10]), np.abs(expected[:, :10]), atol=1e-3)


def test_coordinates_are_uncorrelated_over_the_training_clips(clips: NDArray[np.float32]) -> None:
    encoder = fit_baseline([clips])
    features = torch.from_numpy(summarise_mfcc(clips, BaselineSettings()))
    projected = (features - encoder.tensors["mean"]) @ encoder.tensors["components"].T
    correlation = np.corrcoef(projected.numpy(), rowvar=False)
    assert np.abs(correlation - np.eye(40)).max() < 0.02
    assert np.abs(np.corrcoef(features.numpy(), rowvar=False) - np.eye(40)).max() > 0.5
    assert (np.diff(projected.numpy().var(0)) <= 1e-4).all()


def test_batches_make_no_difference(clips: NDArray[np.float32]) -> None:
    whole, parts = fit_baseline([clips]), fit_baseline(np.array_split(clips, 7))
    sound = torch.from_numpy(clips[:4])
    assert torch.allclose(whole.encode(sound), parts.encode(sound), atol=1e-4)


def test_fewer_clips_than_coefficients_are_enough_to_fit(clips: NDArray[np.float32]) -> None:
    encoder = fit_baseline([clips[:10]])
    vectors = encoder.encode(torch.from_numpy(clips))
    assert vectors.shape == (90, 128)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(90), atol=1e-5)


@pytest.mark.parametrize("n_mfcc", [64, 65, 100])
def test_more_features_than_dimensions_give_unit_vectors_of_the_first_components(
    clips: NDArray[np.float32], n_mfcc: int
) -> None:
    many = np.concatenate([clips, clips[:, ::-1], np.roll(clips, 1, 0) - clips])
    encoder = fit_baseline([many], BaselineSettings(n_mfcc))
    vectors = encoder.encode(torch.from_numpy(many[:9]))
    assert vectors.shape == (9, 128)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(9), atol=1e-5)
    assert len(encoder.tensors["components"]) == 128


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="n_mfcc from 1 to n_mels"):
        BaselineSettings(n_mfcc=129)


def test_whitened_means_have_equal_variance_in_every_direction(
    clips: NDArray[np.float32],
) -> None:
    encoder = fit_baseline([clips], WHITENED)
    features = torch.from_numpy(summarise_mfcc(clips, WHITENED))
    assert features.shape == (90, 20)
    assert np.allclose(features, summarise_mfcc(clips, BaselineSettings())[:, :20])
    projected = (features - encoder.tensors["mean"]) @ encoder.tensors["components"].T
    assert np.abs(np.cov(projected.numpy(), rowvar=False) - np.eye(20)).max() < 0.01


def test_whitening_few_clips_keeps_only_what_varies(clips: NDArray[np.float32]) -> None:
    vectors = fit_baseline([clips[:8]], WHITENED).encode(torch.from_numpy(clips))
    assert torch.isfinite(vectors).all()
    assert vectors.any(0).sum() == 7
