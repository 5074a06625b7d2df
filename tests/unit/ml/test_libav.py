"""What libsndfile does not read decodes in the same shape, with the same limits and reasons."""

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from ml.audio import INT16_SCALE, SAMPLE_RATE, AudioLimits, decode
from ml.errors import AudioError

RATE, SECONDS = 48_000, 12
CODECS = {
    "m4a": "aac",
    "aac": "aac",
    "wma": "wmav2",
    "webm": "libopus",
    "mka": "flac",
    "wv": "wavpack",
}
CHANNELS = {"mono": 1, "stereo": 2}


def write(path: Path, layout: str = "stereo", **options: str) -> Path:
    """Encode chords that differ between channels."""
    time = np.arange(SECONDS * RATE) / RATE
    pitches = 220.0 * 2 ** (np.arange(CHANNELS[layout]) / 12)
    sound = (0.4 * np.sin(2 * np.pi * pitches[:, None] * time)).astype(np.float32)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(CODECS[path.suffix[1:]], rate=RATE, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = 128_000
        for start in range(0, sound.shape[1], 1024):
            block = np.ascontiguousarray(sound[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decode_whole(path: Path) -> NDArray[np.float32]:
    """Decode as one would in a notebook: all frames, averaged, resampled at once."""
    with av.open(str(path)) as container:
        floats = av.AudioResampler(format="fltp")
        frames: Sequence[av.AudioFrame] = list(container.decode(audio=0))
        whole = np.concatenate([f.to_ndarray() for one in frames for f in floats.resample(one)], 1)
        rate = frames[0].sample_rate
    resampled: NDArray[np.float32] = soxr.resample(whole.mean(axis=0), rate, SAMPLE_RATE)
    return resampled


def refusal(path: Path, limits: AudioLimits | None = None) -> str:
    with pytest.raises(AudioError) as caught:
        decode(path, limits)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("layout", CHANNELS)
@pytest.mark.parametrize("extension", CODECS)
def test_streamed_decode_equals_whole_file_decode(
    tmp_path: Path, extension: str, layout: str
) -> None:
    path = write(tmp_path / f"a.{extension}", layout)
    expected = np.rint(np.clip(decode_whole(path), -1, 1) * INT16_SCALE)
    decoded = decode(path.rename(tmp_path / "a.wav"))  # the name does not matter
    assert len(decoded) == pytest.approx(SECONDS * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert decoded.shape == expected.shape
    assert np.abs(decoded - expected).max() <= 1


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (AudioLimits(min_seconds=15), "too_short"),
        (AudioLimits(max_seconds=10), "too_long"),
        (AudioLimits(max_channels=1), "too_many_channels"),
        (AudioLimits(max_sample_rate=44_100), "sample_rate"),
        (AudioLimits(max_values=2 * 11 * RATE), "too_many_values"),
        (AudioLimits(max_bytes=1000), "too_many_bytes"),
    ],
)
def test_limits_are_the_same(tmp_path: Path, limits: AudioLimits, reason: str) -> None:
    assert refusal(write(tmp_path / "a.m4a"), limits) == reason


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_cut_file_is_refused(tmp_path: Path, share: float) -> None:
    """A file whose table of contents comes last has lost it; one where it comes first says so."""
    for name, options in (("last", {}), ("first", {"movflags": "faststart"})):
        path = write(tmp_path / f"{name}.m4a", **options)
        os.truncate(path, int(share * path.stat().st_size))
        assert refusal(path) in ("undecodable", "truncated", "damaged")


def test_playlist_is_no_audio_and_opens_nothing(tmp_path: Path) -> None:
    write(tmp_path / "other.aac")
    (tmp_path / "a.m4a").write_text("#EXTM3U\n#EXTINF:12,\nother.aac\n#EXT-X-ENDLIST\n")
    assert refusal(tmp_path / "a.m4a") == "not_audio"


def test_container_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + np.random.default_rng(0).bytes(5000))
    assert refusal(tmp_path / "a.m4a") in ("undecodable", "not_audio")
