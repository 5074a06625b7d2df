"""A catalogue on S3, read from a server that speaks its protocol, gives what a local one gives."""

import signal
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
import s3fs
import soundfile as sf
from moto.server import ThreadedMotoServer

from ml.audio import AudioLimits
from ml.audio_store import AudioStore
from ml.catalog import Catalog, read_catalog
from ml.clip_plan import Extraction
from ml.clip_settings import ClipSettings
from ml.clips import extract_clips
from ml.errors import AudioError, CatalogError, SoundalikeError
from ml.roots import find_root
from ml.sources import open_locally
from ml.splits import N_BUCKETS, label_splits

COLUMNS = ["track_id", "path", "title", "artist", "album", "genre", "mood"]
FOLDER = "music/some folder"
MANIFEST = f"s3://{FOLDER}/tracks.csv"
USABLE = {"a": "a.wav", "b": "albums/b.flac", "c": "./albums/../c.mp3", "d": f"s3://{FOLDER}/a.wav"}
REJECTED = {
    "": "missing_path",
    "s3://music/outside.wav": "outside_root",
    "s3://other/a.wav": "outside_root",
    f"s3://{FOLDER}/../outside.wav": "outside_root",
    "https://example.org/a.wav": "other_file_system",
    f"simplecache::s3://{FOLDER}/a.wav": "other_file_system",
    "/music/a.wav": "absolute_path",
    "../outside.wav": "outside_root",
    "albums/../../outside.wav": "outside_root",
    "absent.wav": "missing_file",
    "a\0b": "missing_file",
    "x" * 2000: "missing_file",
    "albums": "not_a_file",
    ".": "not_a_file",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[s3fs.S3FileSystem]:
    """Start the server; workers that are started from now on know its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        system = s3fs.S3FileSystem()
        system.mkdir("music")
        yield system
        s3fs.S3FileSystem.clear_instance_cache()
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
    server.stop()


def write_sounds(folder: Path) -> None:
    (folder / "albums").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "albums/b.flac", "c.mp3")):
        noise = np.random.default_rng(number).standard_normal(12 * 22_050)
        sf.write(folder / name, 0.1 * noise, 22_050)
    (folder / "bad.wav").write_bytes(b"no audio")


def write_manifest(folder: Path, paths: dict[str, str]) -> None:
    rows = [(track_id, path, *[""] * 5) for track_id, path in paths.items()]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "tracks.csv", index=False)


@pytest.fixture
def folder(s3: s3fs.S3FileSystem, tmp_path: Path) -> Iterator[Path]:
    """Put a catalogue on the server; the same one in a local folder is the oracle."""
    folder = tmp_path / "local"
    write_sounds(folder)
    write_manifest(folder, USABLE | {"bad": "bad.wav", "x": "../outside.wav"})
    s3.put(f"{folder}/", f"{FOLDER}/", recursive=True)
    s3.pipe("music/outside.wav", b"outside")
    write_manifest(folder, {t: p.removeprefix(f"s3://{FOLDER}/") for t, p in USABLE.items()})
    yield folder
    s3.rm("music/*", recursive=True)


def extract(
    catalog: Catalog, root: Path, settings: ClipSettings | None = None
) -> tuple[Extraction, AudioStore]:
    store = AudioStore(root)
    tracks = label_splits(catalog.tracks)
    return extract_clips(tracks, store, sorted(set(tracks["bucket"])), settings, n_jobs=1), store


def counts(report: Extraction) -> tuple[int, int, int, int, float]:
    seconds = report.decoded_seconds
    return report.unchanged, report.new, report.changed, report.quarantined, seconds


@pytest.mark.usefixtures("folder")
def test_every_path_of_a_manifest_on_s3_is_an_object_below_it_or_has_a_reason() -> None:
    root = find_root(MANIFEST)
    assert {path: root.judge(path) for path in REJECTED} == REJECTED
    assert {path: root.judge(path) for path in USABLE.values()} == dict.fromkeys(USABLE.values())


def test_catalogue_on_s3_gives_the_clips_of_the_same_one_on_disk(
    folder: Path, s3: s3fs.S3FileSystem, tmp_path: Path
) -> None:
    catalog = read_catalog(MANIFEST)
    assert catalog.rejected[["track_id", "reason"]].to_numpy().tolist() == [["x", "outside_root"]]
    assert set(catalog.tracks["path"]) == {
        f"s3://{FOLDER}/{name}" for name in ("a.wav", "albums/b.flac", "c.mp3", "bad.wav")
    }
    report, store = extract(catalog, tmp_path / "store")
    assert counts(report) == (0, 5, 0, 1, 4 * 12)
    rejected = store.read_rejected(range(N_BUCKETS))
    assert rejected[["track_id", "reason"]].to_numpy().tolist() == [["bad", "not_audio"]]
    _, oracle = extract(read_catalog(str(folder / "tracks.csv")), tmp_path / "oracle")
    facts = ["track_id", "digest", "start", "samples", "content"]
    clips, expected = (one.read_clips(range(N_BUCKETS))[facts] for one in (store, oracle))
    pd.testing.assert_frame_equal(clips, expected)
    for digest in clips["digest"].unique():
        assert store.audio_path(digest).read_bytes() == oracle.audio_path(digest).read_bytes()

    assert counts(extract(catalog, store.root)[0]) == (5, 0, 0, 1, 0)
    s3.copy(f"{FOLDER}/albums/b.flac", f"{FOLDER}/c.mp3")  # another content under an old name
    s3.rm(f"{FOLDER}/bad.wav")
    assert counts(extract(catalog, store.root)[0]) == (3, 0, 2, 1, 12)
    rejected = store.read_rejected(range(N_BUCKETS))
    assert rejected["reason"].tolist() == ["missing_file"]


@pytest.mark.usefixtures("folder")
def test_manifest_that_others_have_edited_is_read_anew() -> None:
    assert len(read_catalog(MANIFEST).tracks) == 5
    bucket, _, key = MANIFEST.removeprefix("s3://").partition("/")
    client = boto3.client("s3")  # the file system does not see what it does
    text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.put_object(Bucket=bucket, Key=key, Body=text + b"added,c.mp3,,,,,\n")
    assert "added" in set(read_catalog(MANIFEST).tracks["track_id"])


@pytest.mark.usefixtures("folder")
def test_full_disk_for_copies_stops_the_run_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full.open("wb"))
    with (
        pytest.raises(SoundalikeError, match="make room, or set TMPDIR") as said,
        open_locally(f"s3://{FOLDER}/a.wav", 1 << 30),
    ):
        pytest.fail("copied")
    assert not isinstance(said.value, AudioError)
    assert "\n" not in str(said.value)


@pytest.mark.usefixtures("folder")
def test_copying_does_not_count_for_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, s3: s3fs.S3FileSystem
) -> None:
    left: list[float] = []
    copy = s3.get_file

    def watch(*arguments: str) -> None:
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        copy(*arguments)

    monkeypatch.setattr(s3, "get_file", watch)
    signal.setitimer(signal.ITIMER_REAL, 600)
    try:
        with open_locally(f"s3://{FOLDER}/a.wav", 1 << 30):
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert left == [0]


@pytest.mark.usefixtures("folder")
def test_object_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    settings = ClipSettings(limits=AudioLimits(max_bytes=100_000))
    _, store = extract(read_catalog(MANIFEST), tmp_path / "store", settings)
    reasons = store.read_rejected(range(N_BUCKETS)).set_index("track_id")["reason"]
    assert reasons.to_dict() == dict.fromkeys("abd", "too_many_bytes") | {"bad": "not_audio"}


@pytest.mark.usefixtures("folder")
def test_what_is_not_on_s3_is_refused_in_one_line() -> None:
    for manifest, message in (
        (f"s3://{FOLDER}/absent.csv", "No manifest at"),
        ("s3://absent/tracks.csv", "(No manifest at|Cannot read) s3"),
        (f"simplecache::{MANIFEST}", "is a chain of URLs"),
    ):
        with pytest.raises(CatalogError, match=message) as caught:
            read_catalog(manifest)
        assert "\n" not in str(caught.value)
