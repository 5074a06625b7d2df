"""Decoding agrees with the whole-file computation, and refuses what cannot be used."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
from numpy.typing import NDArray

from ml.audio import INT16_SCALE, SAMPLE_RATE, AudioLimits, decode, to_float
from ml.errors import AudioError

BRIEF = AudioLimits(min_seconds=1.0)


def sound(rate: int, channels: int, seconds: float = 6.0) -> NDArray[np.float64]:
    """Chords that differ between channels."""
    time = np.arange(round(seconds * rate)) / rate
    pitches = 220.0 * 2 ** (np.arange(channels) / 12)
    return 0.4 * np.sin(2 * np.pi * pitches * time[:, None]) * np.hanning(len(time))[:, None]


def tone(
    frequency: float, rate: int, seconds: float = 10.0, level: float = 0.5
) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = level * np.sin(
        2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate
    )
    return wave


def refusal(path: Path, limits: AudioLimits | None = None) -> AudioError:
    with pytest.raises(AudioError) as caught:
        decode(path, limits)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(
    ("extension", "channels"),
    [
        *(("wav", 1), ("wav", 6), ("flac", 2), ("ogg", 2), ("ogg", 1), ("mp3", 1), ("mp3", 2)),
        *(("aiff", 2), ("caf", 1), ("w64", 2), ("rf64", 2)),
    ],
)
def test_streamed_decode_equals_whole_file_decode(
    tmp_path: Path, extension: str, channels: int, rate: int
) -> None:
    path = tmp_path / f"sound.{extension}"
    sf.write(path, sound(rate, channels, 300_000 / rate), rate)  # more than two blocks
    whole, _ = sf.read(path, dtype="float32", always_2d=True)
    resampled = soxr.resample(whole.mean(axis=1), rate, SAMPLE_RATE)
    expected = np.rint(np.clip(resampled, -1, 1) * INT16_SCALE)
    decoded = decode(path, BRIEF)
    assert decoded.dtype == np.int16
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "caf", "au", "w64"])
def test_whole_numbers_give_the_samples_that_floats_give(
    tmp_path: Path, extension: str, channels: int
) -> None:
    path = tmp_path / f"noise.{extension}"
    generator = np.random.default_rng(channels)
    numbers = generator.integers(-(1 << 15), 1 << 15, (200_000, channels)).astype(np.int16)
    sf.write(path, numbers, SAMPLE_RATE, subtype="PCM_16")
    floats, _ = sf.read(path, dtype="float32", always_2d=True)
    mean = floats @ np.full(channels, 1 / channels, np.float32)
    expected = np.rint(np.clip(mean, -1, 1) * np.float32(INT16_SCALE)).astype(np.int16)
    # Not resampled: the rate is ours already. A third and a fifth are rounded, and how a processor
    # adds what is rounded depends on how much it is given at once.
    tolerance = 0 if channels in (1, 2) else 1
    assert np.abs(decode(path).astype(int) - expected).max() <= tolerance


def test_format_is_recognised_by_content_and_not_by_name(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.flac", sound(16_000, 1), 16_000)
    disguised = (tmp_path / "a.flac").rename(tmp_path / "a.txt")
    assert len(decode(disguised, BRIEF)) == 6 * SAMPLE_RATE


def test_full_scale_stereo_neither_clips_nor_wraps(tmp_path: Path) -> None:
    square = np.sign(tone(100, SAMPLE_RATE))
    sf.write(tmp_path / "a.wav", np.stack([square, square], 1), SAMPLE_RATE, subtype="FLOAT")
    assert np.array_equal(decode(tmp_path / "a.wav"), (square * INT16_SCALE).astype(np.int16))


def test_overshoot_of_the_resampler_is_clipped_and_keeps_its_sign(tmp_path: Path) -> None:
    square = np.sign(tone(100, 44_100, level=1.0) + 1e-9)
    sf.write(tmp_path / "a.wav", 1.5 * square, 44_100, subtype="FLOAT")
    decoded = decode(tmp_path / "a.wav")
    middle = np.arange(SAMPLE_RATE // 400, len(decoded), SAMPLE_RATE // 100)  # tops of the waves
    assert (decoded[middle] == INT16_SCALE).all()
    assert decoded.min() == -INT16_SCALE


def test_opposite_channels_cancel(tmp_path: Path) -> None:
    wave = tone(440, SAMPLE_RATE)
    quiet = tone(1000, SAMPLE_RATE, level=0.1)
    sf.write(tmp_path / "a.wav", np.stack([wave, -wave + quiet], 1), SAMPLE_RATE, subtype="FLOAT")
    assert np.abs(to_float(decode(tmp_path / "a.wav")) - quiet / 2).max() < 1e-4


@pytest.mark.parametrize("rate", [11_025, 44_100, 96_000])
def test_tone_keeps_its_frequency_and_level(tmp_path: Path, rate: int) -> None:
    sf.write(tmp_path / "a.wav", tone(440, rate), rate, subtype="FLOAT")
    samples = to_float(decode(tmp_path / "a.wav"))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(samples) == pytest.approx(440, abs=0.1)
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.5, abs=1e-3)


def test_tone_above_the_new_nyquist_frequency_does_not_alias(tmp_path: Path) -> None:
    mixed = tone(440, 48_000, level=0.3) + tone(10_000, 48_000, level=0.6)
    sf.write(tmp_path / "a.wav", mixed, 48_000, subtype="FLOAT")
    kept = to_float(decode(tmp_path / "a.wav"))[1000:-1000]
    assert np.abs(kept).max() == pytest.approx(0.3, abs=2e-3)


def test_full_scale_becomes_one() -> None:
    scaled = to_float(np.array([INT16_SCALE, 0, -INT16_SCALE], np.int16))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_exactly_ten_seconds_are_enough_and_a_little_less_is_not(tmp_path: Path, rate: int) -> None:
    wave = tone(440, rate)
    sf.write(tmp_path / "enough.wav", wave, rate)
    sf.write(tmp_path / "less.wav", wave[: -rate // 100], rate)
    assert len(decode(tmp_path / "enough.wav")) == 10 * SAMPLE_RATE
    assert refusal(tmp_path / "less.wav").reason == "too_short"


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.raw", "a"])
@pytest.mark.parametrize("size", [1, 10_000])
def test_random_bytes_are_no_audio_under_any_name(tmp_path: Path, name: str, size: int) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(size).bytes(size))
    assert refusal(tmp_path / name).reason == "not_audio"


def test_name_of_another_format_changes_nothing(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", sound(16_000, 1), 16_000)
    expected = decode(tmp_path / "a.wav", BRIEF)
    for name in ("a.raw", "a.mp3", "a.flac"):
        shutil.copy(tmp_path / "a.wav", tmp_path / name)
        assert np.array_equal(decode(tmp_path / name, BRIEF), expected)


@pytest.mark.parametrize(
    ("reason", "limits"),
    [
        ("too_long", AudioLimits(min_seconds=1, max_seconds=5.9)),
        ("too_many_channels", AudioLimits(min_seconds=1, max_channels=1)),
        ("sample_rate", AudioLimits(min_seconds=1, min_sample_rate=44_100)),
        ("sample_rate", AudioLimits(min_seconds=1, max_sample_rate=11_025)),
        ("too_short", AudioLimits(min_seconds=6.1)),
        ("too_many_bytes", AudioLimits(min_seconds=1, max_bytes=500_000)),
        ("too_many_values", AudioLimits(min_seconds=1, max_values=2 * 6 * 22_050 - 1)),
    ],
)
def test_each_limit_has_its_reason(tmp_path: Path, reason: str, limits: AudioLimits) -> None:
    sf.write(tmp_path / "a.wav", sound(22_050, 2), 22_050)
    assert refusal(tmp_path / "a.wav", limits).reason == reason
    assert len(decode(tmp_path / "a.wav", BRIEF)) == 6 * SAMPLE_RATE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, -1])
def test_a_single_value_that_is_not_finite_is_refused(
    tmp_path: Path, value: float, position: int
) -> None:
    wave = np.stack([tone(440, SAMPLE_RATE)] * 2, 1)
    wave[position, 1] = value
    sf.write(tmp_path / "a.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert refusal(tmp_path / "a.wav").reason == "not_finite"


def test_huge_values_are_finite_and_clipped(tmp_path: Path) -> None:
    wave = 1e30 * np.sign(tone(440, SAMPLE_RATE))
    sf.write(tmp_path / "a.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert set(np.abs(decode(tmp_path / "a.wav"))) <= {0, INT16_SCALE}


@pytest.mark.parametrize("quiet", [0.0, 0.5])
def test_sound_late_in_a_file_is_heard(tmp_path: Path, quiet: float) -> None:
    wave = np.full(20 * SAMPLE_RATE, quiet)
    sf.write(tmp_path / "level.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert refusal(tmp_path / "level.wav").reason == ("constant" if quiet else "silent")
    wave[-SAMPLE_RATE:] += tone(440, SAMPLE_RATE, 1.0, 0.1)
    sf.write(tmp_path / "sound.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert len(decode(tmp_path / "sound.wav")) == 20 * SAMPLE_RATE


def test_silence_is_what_stays_below_minus_sixty_decibels(tmp_path: Path) -> None:
    for level, name in ((0.0, "zero"), (0.0009, "below"), (0.0012, "above")):
        wave = tone(440, SAMPLE_RATE, level=level)
        sf.write(tmp_path / f"{name}.wav", wave, SAMPLE_RATE, subtype="FLOAT")
    assert refusal(tmp_path / "zero.wav").reason == "silent"
    assert refusal(tmp_path / "below.wav").reason == "silent"
    assert decode(tmp_path / "above.wav").max() > 0


def test_audio_error_survives_pickling() -> None:
    error = AudioError("silent", "Export the file again.")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, AudioError)
    assert (copy.reason, str(copy)) == ("silent", "Export the file again.")
