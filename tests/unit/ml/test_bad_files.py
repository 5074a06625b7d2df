"""Every way in which a file can be bad has a reason code and one sentence that says what to do."""

import os
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from ml.audio import INT16_SCALE, SAMPLE_RATE, AudioLimits, decode
from ml.errors import AudioError

Make = Callable[[Path], Path]
SECONDS = 12


def noise(seconds: float = SECONDS, channels: int = 1) -> np.ndarray[tuple[int, int], np.dtype]:
    shape = (round(seconds * SAMPLE_RATE), channels)
    return 0.1 * np.random.default_rng(0).standard_normal(shape)


def level(value: float) -> Make:
    def make(folder: Path) -> Path:
        samples = np.full(SECONDS * SAMPLE_RATE, value)
        sf.write(folder / "a.wav", samples, SAMPLE_RATE, subtype="FLOAT")
        return folder / "a.wav"

    return make


def one_value(value: float) -> Make:
    def make(folder: Path) -> Path:
        samples = noise()
        samples[70_000] = value
        sf.write(folder / "a.wav", samples, SAMPLE_RATE, subtype="DOUBLE")
        return folder / "a.wav"

    return make


def content(given: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "a.wav").write_bytes(given)
        return folder / "a.wav"

    return make


def cut(extension: str, share: float) -> Make:
    def make(folder: Path) -> Path:
        path = folder / f"a.{extension}"
        sf.write(path, noise(30), SAMPLE_RATE)
        os.truncate(path, int(share * path.stat().st_size))
        return path

    return make


def overwrite(extension: str, position: float, given: bytes) -> Make:
    """Put bytes at a place of a sound file: an offset, or a share of its size."""

    def make(folder: Path) -> Path:
        path = folder / f"a.{extension}"
        sf.write(path, noise(30), SAMPLE_RATE)
        with path.open("r+b") as file:
            file.seek(int(position if position >= 1 else position * path.stat().st_size))
            file.write(given)
        return path

    return make


def no_frames(folder: Path) -> Path:
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
    return folder / "a.wav"


def directory(folder: Path) -> Path:
    return folder


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.wav")
    return folder / "a.wav"


def loop(folder: Path) -> Path:
    (folder / "a.wav").symlink_to("a.wav")
    return folder / "a.wav"


def absent(folder: Path) -> Path:
    return folder / "a.wav"


BAD_FILES: dict[str, tuple[Make, str]] = {
    "silence": (level(0.0), "silent"),
    "faint": (level(0.0005), "silent"),
    "direct current": (level(0.5), "constant"),
    "negative direct current": (level(-0.5), "constant"),
    "not a number": (one_value(np.nan), "not_finite"),
    "infinity": (one_value(np.inf), "not_finite"),
    "beyond float32": (one_value(1e300), "not_finite"),
    "empty": (content(b""), "empty"),
    "no frames": (no_frames, "empty"),
    "text": (content(b"These are words.\n" * 1000), "not_audio"),
    "zeros": (content(bytes(10_000)), "not_audio"),
    "picture": (content(b"\x89PNG\r\n\x1a\n" + bytes(10_000)), "not_audio"),
    "RIFF of another kind": (content(b"RIFF" + struct.pack("<I", 4096) + bytes(4096)), "not_audio"),
    "no channels": (overwrite("wav", 22, struct.pack("<H", 0)), "undecodable"),
    "a million hertz": (overwrite("wav", 24, struct.pack("<I", 10**6)), "sample_rate"),
    "ogg of no known codec": (overwrite("ogg", 29, b"nothing"), "undecodable"),
    "flac, damaged in the middle": (overwrite("flac", 0.5, b"\xa5" * 5000), "damaged"),
    "directory": (directory, "not_a_file"),
    "pipe": (pipe, "not_a_file"),
    "loop of links": (loop, "missing_file"),
    "absent": (absent, "missing_file"),
    **{
        f"{extension} cut to {share}": (cut(extension, share), "truncated")
        for extension in ("wav", "flac", "ogg", "mp3", "aiff", "rf64")
        for share in (0.9, 0.5, 0.1)
    },
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_has_its_reason_and_a_sentence(tmp_path: Path, case: str) -> None:
    make, reason = BAD_FILES[case]
    with pytest.raises(AudioError) as caught:
        decode(make(tmp_path))
    assert caught.value.reason == reason
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert ": " in sentence or "," in sentence  # what is the matter, and then what to do


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3", "aiff", "rf64"])
def test_whole_file_is_not_taken_for_a_cut_one(tmp_path: Path, extension: str) -> None:
    for seconds in (10, 10.7, 31.3):
        sf.write(tmp_path / f"a.{extension}", noise(seconds, 2), SAMPLE_RATE)
        assert len(decode(tmp_path / f"a.{extension}")) == round(seconds * SAMPLE_RATE)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_wav_that_was_streamed_out_is_not_taken_for_a_cut_one(tmp_path: Path, size: int) -> None:
    path = overwrite("wav", 4, struct.pack("<I", size))(tmp_path)
    assert len(decode(path)) == 30 * SAMPLE_RATE


def uncounted(folder: Path, loudness: tuple[float, float]) -> Path:
    """Write an MP3 of two minutes without its first frame, which holds the count of frames."""
    signal = np.repeat(loudness, 60 * SAMPLE_RATE) * noise(120)[:, 0]
    sf.write(folder / "a.mp3", signal, SAMPLE_RATE)
    whole = (folder / "a.mp3").read_bytes()
    (folder / "a.mp3").write_bytes(whole[whole.index(whole[:2], 4) :])
    return folder / "a.mp3"


def test_mp3_whose_length_is_guessed_too_long_is_not_taken_for_a_cut_one(tmp_path: Path) -> None:
    path = uncounted(tmp_path, loudness=(0.0, 1.0))
    assert sf.info(path).frames > 130 * SAMPLE_RATE
    assert len(decode(path)) == pytest.approx(120 * SAMPLE_RATE, abs=4000)


def test_mp3_whose_length_is_guessed_too_short_is_refused_and_not_halved(tmp_path: Path) -> None:
    path = uncounted(tmp_path, loudness=(1.0, 0.01))
    assert sf.info(path).frames < 110 * SAMPLE_RATE
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert caught.value.reason == "uncounted"


def test_cut_mp3_behind_a_large_tag_is_found(tmp_path: Path) -> None:
    path = cut("mp3", 0.5)(tmp_path)
    tag = b"ID3\x04\x00\x00" + bytes([0, 2, 0, 5]) + bytes((2 << 14) + 5)
    path.write_bytes(tag + path.read_bytes())
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert caught.value.reason == "truncated"


def test_file_without_permission_is_unreadable(unprivileged: Path) -> None:
    path = level(0.5)(unprivileged)
    path.chmod(0)
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert caught.value.reason == "unreadable"


MEASURE = """
import re, sys
from pathlib import Path
from ml.audio import AudioLimits, decode_blocks
from ml.audio_store import AudioStore
from ml.errors import AudioError
try:
    limits = AudioLimits(max_values=int(sys.argv[3]))
    blocks = decode_blocks(Path(sys.argv[1]), limits)
    print(AudioStore(Path(sys.argv[2])).write_blocks("0" * 64, blocks))
except AudioError as error:
    print(error.reason)
# Its own peak: ru_maxrss would begin at that of the process which forked it.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def measure(path: Path, max_values: int = 1 << 31) -> tuple[str, float]:
    """Decode in a process of its own; give what came of it, and its peak memory in MB."""
    command = [
        sys.executable,
        "-c",
        MEASURE,
        str(path),
        str(path.parent / "store"),
        str(max_values),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd())
    result, kilobytes = done.stdout.split()
    return result, int(kilobytes) / 1024


def test_two_hours_take_under_300_megabytes(tmp_path: Path) -> None:
    minute = (noise(60, 2) * INT16_SCALE).astype(np.int16)
    with sf.SoundFile(tmp_path / "a.wav", "w", SAMPLE_RATE, 2) as file:
        for _ in range(120):
            file.write(minute)
    samples, megabytes = measure(tmp_path / "a.wav")
    assert int(samples) == 7200 * SAMPLE_RATE
    assert megabytes < 300


def test_small_file_that_expands_a_thousand_times_is_refused_before_it_does(tmp_path: Path) -> None:
    silence = np.zeros((1 << 20, 8), np.int16)
    with sf.SoundFile(tmp_path / "a.flac", "w", 192_000, 8) as file:
        for _ in range(20):
            file.write(silence)
    assert (tmp_path / "a.flac").stat().st_size * 1000 < 20 * silence.nbytes
    reason, megabytes = measure(tmp_path / "a.flac", 20 * silence.size - 1)
    assert reason == "too_many_values"
    assert megabytes < 300


def test_limits_hold_for_what_a_header_hides(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.flac", noise(30), SAMPLE_RATE)
    whole = bytearray((tmp_path / "a.flac").read_bytes())
    whole[21] &= 0xF0  # the number of samples has 36 bits; nought means that it is not known
    whole[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(whole)
    assert len(decode(tmp_path / "a.flac")) == 30 * SAMPLE_RATE
    for limits, reason in (
        (AudioLimits(max_seconds=20), "too_long"),
        (AudioLimits(max_values=20 * SAMPLE_RATE), "too_many_values"),
    ):
        with pytest.raises(AudioError) as caught:
            decode(tmp_path / "a.flac", limits)
        assert caught.value.reason == reason
