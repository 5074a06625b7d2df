"""Excerpts of files that nobody vouches for: decoded apart, embedded at any length."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torchaudio.functional import highpass_biquad, loudness, treble_biquad

from ml.audio import AudioLimits, decode
from ml.convnet import ConvNetSettings, seed_weights
from ml.decoding import decode_excerpt
from ml.embedding import embed_excerpt
from ml.encoders import ConvNetEncoder
from ml.errors import AudioError
from ml.isolation import WorkerLimits
from ml.waveform import (
    find_peaks,
    integrate_loudness,
    measure_energies,
    measure_loudness,
    pack_energies,
    unpack_energies,
)

LIMITS, WORKER = AudioLimits(min_seconds=2.0), WorkerLimits(seconds=60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    samples = np.random.default_rng(0).normal(0, 0.1, 44_100 * 8)
    soundfile.write(tmp_path / "music.flac", samples, 44_100)
    return tmp_path / "music.flac"


def test_excerpt_is_that_stretch_of_the_whole(file: Path) -> None:
    whole = decode(file, LIMITS)
    found = decode_excerpt(file, 2500, 5000, LIMITS, WORKER)
    assert np.array_equal(found, whole[40_000:80_000])
    rest = decode_excerpt(file, 7000, 20_000, LIMITS, WORKER)
    assert np.array_equal(rest, whole[112_000:])


def test_excerpt_behind_the_end_or_of_silence_is_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"ends at 8\.0 s") as raised:
        decode_excerpt(file, 9000, 19_000, LIMITS, WORKER)
    assert raised.value.reason == "region_outside"
    quiet = np.concatenate([np.zeros(64_000), np.ones(64_000) * np.sin(np.arange(64_000))])
    soundfile.write(tmp_path / "quiet.wav", quiet, 16_000)
    with pytest.raises(AudioError, match="silent"):
        decode_excerpt(tmp_path / "quiet.wav", 0, 3000, LIMITS, WORKER)


class Listener:
    """Remembers what it was given."""

    architecture, settings = "none", None
    tensors: dict[str, Tensor] = {}  # noqa: RUF012

    def encode(self, waveform: Tensor) -> Tensor:
        """Hear."""
        self.heard = waveform
        return torch.nn.functional.normalize(torch.ones(len(waveform), 128), dim=1)


def test_short_excerpt_is_repeated_and_a_long_one_averaged() -> None:
    listener = Listener()
    _, windows = embed_excerpt(listener, np.arange(1, 48_001, dtype=np.int16))
    assert windows == 1
    assert torch.equal(listener.heard[0, :48_000], listener.heard[0, 48_000:96_000])
    assert (listener.heard != 0).all()
    for seconds, expected in ((10, 1), (15, 2), (17, 3), (60, 11)):
        _, windows = embed_excerpt(listener, np.ones(16_000 * seconds, np.int16))
        assert windows == expected


def test_excerpt_of_a_real_network_has_norm_one() -> None:
    encoder = ConvNetEncoder(seed_weights(ConvNetSettings(), 0))
    samples = np.random.default_rng(0).integers(-9000, 9000, 16_000 * 13).astype(np.int16)
    vector, _ = embed_excerpt(encoder, samples)
    assert vector.shape == (128,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_loudness_is_that_of_the_recommendation() -> None:
    # BS.1770-4, annex 1: a sine of 997 Hz at 0 dBFS in one channel has -3.01 LUFS.
    sine = np.sin(2 * np.pi * 997 * np.arange(16_000 * 5) / 16_000)
    samples = np.rint(32_767 * sine).astype(np.int16)
    assert measure_loudness(samples) == pytest.approx(-3.01, abs=0.1)
    padded = np.concatenate([samples, np.zeros(16_000 * 20, np.int16)])
    assert measure_loudness(padded) == pytest.approx(-3.01, abs=0.3)  # silence is gated out
    assert measure_loudness(np.zeros(16_000, np.int16)) is None
    assert measure_loudness(samples[:100]) is None


def test_loudness_is_the_librarys_for_any_stretch() -> None:
    """Energies of tenths, packed to a byte each, give the loudness of whatever is cut out."""
    rng = np.random.default_rng(0)
    envelope = np.repeat(10 ** rng.uniform(-2.5, -0.5, 30), 16_000)  # a second at a time
    samples = (envelope * rng.normal(0, 8000, len(envelope))).clip(-32_767, 32_767).astype(np.int16)
    packed = pack_energies(measure_energies(samples))
    assert len(packed) == 300
    for start, end in ((0, 30_000), (5000, 15_000), (12_300, 22_300), (20_000, 22_000)):
        softened = torch.from_numpy(samples[16 * start : 16 * end] / (2 * 32_768)).float()[None]
        expected = float(loudness(softened, 16_000)) + 20 * np.log10(2)
        stretch = unpack_energies(packed[start // 100 : end // 100])
        assert integrate_loudness(stretch) == pytest.approx(expected, abs=0.1)
        assert measure_loudness(samples[16 * start : 16 * end]) == pytest.approx(expected, abs=0.02)


def test_loudness_goes_on_from_minute_to_minute() -> None:
    """A long track is weighed part by part; by the library, K-weighting has no seam either."""
    samples = np.rint(np.random.default_rng(1).normal(0, 3000, 16_000 * 150)).astype(np.int16)
    softened = torch.from_numpy(samples / (2 * 32_767)).float()
    shelved = treble_biquad(softened, 16_000, 4.0, 1500.0, 1 / 2**0.5)
    weighted = highpass_biquad(shelved, 16_000, 38.0, 0.5).double().numpy() * 2
    expected = np.square(weighted).reshape(-1, 1600).mean(axis=1) * 10**-0.0691
    np.testing.assert_allclose(measure_energies(samples), expected, rtol=1e-4)


def test_peaks_are_the_greatest_magnitudes() -> None:
    samples = np.zeros(3300, np.int16)
    samples[5], samples[1700], samples[3299] = -32_768, 16_384, 129
    assert find_peaks(samples).tolist() == [255, 128, 1]
    assert find_peaks(samples[:0]).tolist() == []
