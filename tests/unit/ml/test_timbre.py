"""Discriminant coordinates of mean spectra: against scikit-learn, and what they ignore."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from ml.convnet import ConvNet, ConvNetSettings, seed_weights
from ml.spectrogram import SpectrogramSettings
from ml.timbre import Timbre, fit_timbre

BANDS, TRACKS, CROPS = 12, 30, 8
SPECTROGRAM = SpectrogramSettings(n_fft=512, hop=512, n_mels=BANDS)


@pytest.fixture
def tracks() -> Tensor:
    return torch.arange(TRACKS).repeat_interleave(CROPS)


@pytest.fixture
def spectra(tracks: Tensor) -> Tensor:
    """Tracks differ in every band; crops of one by a tenth, and by much in the first band."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(TRACKS, BANDS, generator=generator)
    spectra = centres[tracks] + 0.1 * torch.randn(len(tracks), BANDS, generator=generator)
    spectra[:, 0] += 5 * torch.randn(len(tracks), generator=generator)
    return spectra - 7


def as_mel(spectra: Tensor) -> Tensor:
    return spectra[:, :, None].expand(-1, -1, 4)


def test_directions_are_those_of_discriminant_analysis(
    spectra: Tensor, tracks: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.timbre.RIDGE", 0.0)
    state = fit_timbre(spectra, tracks, 5)
    oracle = LinearDiscriminantAnalysis(solver="eigen", n_components=5).fit(spectra, tracks)
    ours = (spectra - state["mean"]) @ state["axes"]
    theirs = oracle.transform(spectra.numpy())
    for place in range(5):  # up to scale and sign
        correlation = np.corrcoef(ours[:, place].numpy(), theirs[:, place])[0, 1]
        assert abs(correlation) > 0.9999
    own = torch.stack([ours[tracks == t] - ours[tracks == t].mean(0) for t in range(TRACKS)])
    within = own.flatten(0, 1).T @ own.flatten(0, 1) / (len(ours) - TRACKS)
    spread = ours.var(0)  # beside the variance within tracks, which is one before the shortening
    torch.testing.assert_close(within, torch.diag(spread / (1 + spread)), atol=1e-3, rtol=0)


def test_few_tracks_have_few_directions(spectra: Tensor, tracks: Tensor) -> None:
    few = tracks < 4
    axes = fit_timbre(spectra[few], tracks[few], 8)["axes"]
    lengths = axes.norm(dim=0)
    assert lengths[:3].min() > 100 * lengths[3:].max()


def test_what_varies_within_tracks_moves_a_crop_little(spectra: Tensor, tracks: Tensor) -> None:
    timbre = Timbre(BANDS, 6)
    timbre.load_state_dict(fit_timbre(spectra, tracks, 6))
    moved = spectra.clone()
    moved[:, 0] += 5
    shifted = (timbre(as_mel(moved)) - timbre(as_mel(spectra))).norm(dim=1)
    other = (timbre(as_mel(spectra.roll(CROPS, 0))) - timbre(as_mel(spectra))).norm(dim=1)
    assert shifted.median() < 0.2 * other.median()
    torch.testing.assert_close(timbre(as_mel(spectra)).norm(dim=1), torch.ones(len(spectra)))


@pytest.mark.parametrize("tracks", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_one_track_or_one_crop_of_each_is_refused(tracks: list[int]) -> None:
    with pytest.raises(ValueError, match="several tracks"):
        fit_timbre(torch.randn(4, BANDS), torch.tensor(tracks), 2)


@pytest.mark.parametrize("dimensions", [0, BANDS + 1])
def test_more_dimensions_than_bands_are_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 12"):
        Timbre(BANDS, dimensions)


@pytest.mark.parametrize("change", [{"timbre": 128}, {"timbre": 8, "timbre_share": 1.0}])
def test_settings_that_leave_a_part_out_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="timbre"):
        ConvNetSettings(**change)  # type: ignore[arg-type]


def test_squared_distance_is_shared_between_what_is_learned_and_the_timbre(
    spectra: Tensor, tracks: Tensor
) -> None:
    settings = ConvNetSettings(widths=(8,), spectrogram=SPECTROGRAM, timbre=6, timbre_share=0.25)
    network = seed_weights(settings, 0).eval()
    assert isinstance(network, ConvNet)
    assert network.timbre is not None
    mel = as_mel(spectra[:20]).exp()
    unfitted = network.embed_mel(mel)
    torch.testing.assert_close(unfitted.norm(dim=1), torch.ones(20))
    assert not unfitted[:, -6:].any()
    network.timbre.load_state_dict(fit_timbre(spectra, tracks, 6))
    fitted = network.embed_mel(mel)
    assert fitted.shape == (20, 128)
    torch.testing.assert_close(fitted[:, -6:].square().sum(1), torch.full((20,), 0.25))
    torch.testing.assert_close(fitted[:, :-6], 0.75**0.5 * unfitted[:, :-6])


def test_loss_sees_what_is_learned_alone() -> None:
    settings = ConvNetSettings(widths=(8,), spectrogram=SPECTROGRAM, timbre=6)
    network = seed_weights(settings, 0).train()
    assert isinstance(network, ConvNet)
    learned = network.embed_mel(as_mel(torch.randn(4, BANDS)).exp())
    assert learned.shape == (4, 122)
    torch.testing.assert_close(learned.norm(dim=1), torch.ones(4))
