"""The audio store does each track once, remembers what it did, and survives being killed."""

import importlib
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from ml.audio import SAMPLE_RATE, AudioLimits, decode, decode_blocks
from ml.audio_store import CLIP_COLUMNS, CLIP_SAMPLES, AudioStore
from ml.clip_plan import DAY_SECONDS, Extraction
from ml.clip_settings import ClipSettings
from ml.clips import draw_positions, extract_clips
from ml.decoding import Decoder, Task, decode_track
from ml.errors import AudioError, CatalogError
from ml.isolation import WorkerLimits
from ml.sources import fingerprint_file
from ml.splits import N_BUCKETS, hash_track, label_splits

BUCKETS = range(N_BUCKETS)
N_TRACKS = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tracks of 10 to 14 seconds."""
    music = tmp_path / "music"
    music.mkdir()
    for number in range(N_TRACKS):
        write_track(music, number)
    return music


@pytest.fixture
def store(tmp_path: Path) -> AudioStore:
    return AudioStore(tmp_path / "audio")


def write_track(
    folder: Path, number: int, seconds: float | None = None, rate: int = 16_000
) -> Path:
    noise = np.random.default_rng(number).standard_normal(round((seconds or 10 + number) * rate))
    sf.write(folder / f"{number}.wav", 0.1 * noise, rate)
    return folder / f"{number}.wav"


def list_tracks(folder: Path) -> pd.DataFrame:
    paths = sorted(folder.iterdir())
    ids = [path.stem for path in paths]
    return label_splits(pd.DataFrame({"track_id": ids, "path": [str(path) for path in paths]}))


def extract(folder: Path, store: AudioStore, settings: ClipSettings | None = None) -> Extraction:
    return extract_clips(list_tracks(folder), store, BUCKETS, settings, n_jobs=1)


def counts(report: Extraction) -> tuple[int, int, int, int, int]:
    return report.unchanged, report.new, report.changed, report.gone, report.quarantined


def snapshot(store: AudioStore) -> dict[str, bytes]:
    """Contents of every file of the store, temporary ones included."""
    paths = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


def modified(store: AudioStore) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.root.rglob("*.npy")}


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 10**6))
def test_positions_are_seeded_and_within_the_track(digest: str, spare: int) -> None:
    positions = draw_positions(digest, CLIP_SAMPLES + spare)
    assert positions.shape == (10,)
    assert (np.diff(positions) >= 0).all()
    assert positions.min() >= 0
    assert positions.max() <= spare
    assert np.array_equal(positions, draw_positions(digest, CLIP_SAMPLES + spare))


def test_positions_differ_between_tracks_and_are_spread_evenly() -> None:
    spare = 1000
    drawn = np.concatenate(
        [draw_positions(hash_track(f"{n}"), CLIP_SAMPLES + spare) for n in range(500)]
    )
    assert np.histogram(drawn, 5, (0, spare))[0] == pytest.approx(1000, rel=0.12)
    assert drawn.min() < 5
    assert drawn.max() > spare - 5


def test_positions_are_known() -> None:
    assert draw_positions(hash_track("a"), 30 * SAMPLE_RATE, 3).tolist() == [152729, 159664, 302666]


def test_store_holds_each_track_once_and_ten_clips_of_it(folder: Path, store: AudioStore) -> None:
    assert counts(extract(folder, store)) == (0, N_TRACKS, 0, 0, 0)
    clips = store.read_clips(BUCKETS)
    assert tuple(clips.columns) == CLIP_COLUMNS
    assert (clips.groupby("track_id").size() == 10).all()
    assert (clips["start"] + CLIP_SAMPLES <= clips["samples"]).all()
    assert (clips.loc[clips["track_id"] == "0", "start"] == 0).all()  # exactly ten seconds
    for track in list_tracks(folder).itertuples():
        whole = np.load(store.root / f"{track.bucket:02d}" / f"{track.digest}.npy")
        assert whole.dtype == np.int16
        assert np.array_equal(whole, decode(Path(str(track.path))))
        starts = clips.loc[clips["track_id"] == track.track_id, "start"]
        assert starts.tolist() == draw_positions(str(track.digest), len(whole)).tolist()
        last = int(starts.iloc[-1])
        assert np.array_equal(store.read(str(track.digest), last), whole[last:][:CLIP_SAMPLES])


def test_second_run_decodes_nothing(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    before, written = snapshot(store), modified(store)
    report = extract(folder, store)
    assert counts(report) == (N_TRACKS, 0, 0, 0, 0)
    assert report.decoded_seconds == 0
    assert modified(store) == written
    assert snapshot(store) == before


def test_only_what_changed_is_decoded(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    written = modified(store)
    write_track(folder, 1, seconds=20)
    write_track(folder, 90)
    (folder / "2.wav").unlink()
    report = extract(folder, store)
    assert counts(report) == (N_TRACKS - 2, 1, 1, 1, 0)
    assert report.decoded_seconds == 20 + 100
    names = {number: f"{hash_track(str(number))}.npy" for number in (0, 1, 2, 3, 4, 90)}
    after = modified(store)
    assert {n for n in names if after.get(names[n]) == written.get(names[n])} == {0, 2, 3, 4}
    assert names[2] in after  # it may come back
    clips = store.read_clips(BUCKETS)
    assert sorted(clips["track_id"].unique()) == ["0", "1", "3", "4", "90"]
    assert set(clips.loc[clips["track_id"] == "1", "samples"]) == {20 * SAMPLE_RATE}


def test_touched_or_copied_file_is_not_decoded_again(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    written, contents = modified(store), set(store.read_clips(BUCKETS)["content"])
    (folder / "1.wav").touch()
    (folder / "2.wav").write_bytes((folder / "2.wav").read_bytes())
    report = extract(folder, store)
    assert counts(report) == (N_TRACKS, 0, 0, 0, 0)
    assert report.decoded_seconds == 0
    assert set(store.read_clips(BUCKETS)["content"]) == contents
    after = snapshot(store)
    assert {name: modified(store)[name] for name in written} == written
    extract(folder, store)
    assert snapshot(store) == after


def test_track_that_left_is_kept_for_a_while_and_may_return(
    folder: Path, store: AudioStore
) -> None:
    whole = list_tracks(folder)
    path = store.audio_path(hash_track("2"))

    def run(tracks: pd.DataFrame, day: int) -> Extraction:
        now = day * DAY_SECONDS
        return extract_clips(tracks, store, BUCKETS, n_jobs=1, now=now)

    run(whole, 0)
    before = snapshot(store)
    fewer = whole[whole["track_id"] != "2"]
    assert run(fewer, 1).gone == 1
    assert "2" not in set(store.read_clips(BUCKETS)["track_id"])
    assert set(store.read_gone(BUCKETS)["gone_since"]) == {DAY_SECONDS}
    assert counts(run(fewer, 31)) == (N_TRACKS - 1, 0, 0, 0, 0)
    assert path.exists()
    back = run(whole, 31)
    assert (back.returned, back.unchanged, back.decoded_seconds) == (1, N_TRACKS - 1, 0)
    assert snapshot(store) == before
    run(fewer, 40)
    assert run(fewer, 71).removed == 1
    assert store.read_gone(BUCKETS).empty
    assert not path.exists()
    assert run(whole, 72).new == 1
    assert snapshot(store) == before


def test_returned_track_whose_file_changed_is_decoded(folder: Path, store: AudioStore) -> None:
    whole = list_tracks(folder)
    extract_clips(whole, store, BUCKETS, n_jobs=1)
    extract_clips(whole.iloc[1:], store, BUCKETS, n_jobs=1)
    write_track(folder, 0, seconds=30)
    report = extract_clips(whole, store, BUCKETS, n_jobs=1)
    assert (report.changed, report.returned, report.decoded_seconds) == (1, 0, 30)
    assert store.read_gone(BUCKETS).empty


def test_much_of_the_catalogue_does_not_vanish_unasked(folder: Path, store: AudioStore) -> None:
    whole = list_tracks(folder)
    extract_clips(whole, store, BUCKETS, n_jobs=1)
    before = snapshot(store)
    fewer = whole.iloc[2:]
    message = r"2 of 5 tracks have vanished .* \(40%, limit 20%\).*allow_shrinking: true"
    with pytest.raises(CatalogError, match=message):
        extract_clips(fewer, store, BUCKETS, n_jobs=1)
    assert snapshot(store) == before
    bucket = int(whole["bucket"].iloc[0])  # a share of the whole, though one bucket is run
    if (whole["bucket"] == bucket).sum() == 1:
        assert extract_clips(fewer, store, [bucket], n_jobs=1).gone == 1
    assert extract_clips(fewer, store, BUCKETS, n_jobs=1, allow_shrinking=True).gone in (1, 2)


def test_second_run_at_once_is_refused(folder: Path, store: AudioStore) -> None:
    bucket = int(list_tracks(folder)["bucket"].iloc[0])
    code = (
        "import sys; from pathlib import Path; from ml.audio_store import AudioStore\n"
        f"with AudioStore(Path(sys.argv[1])).lock({bucket}): print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(CatalogError, match=f"Another run is at work on bucket {bucket:02d}"):
            extract(folder, store)
        other.kill()  # the lock goes with its holder
    assert extract(folder, store).new == N_TRACKS


def test_manifest_of_an_earlier_version_is_made_again(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    before = snapshot(store)
    for path in store.root.glob("*/clips.parquet"):
        pd.read_parquet(path).drop(columns="content").to_parquet(path, index=False)
    assert extract(folder, store).new == N_TRACKS
    assert snapshot(store) == before


def test_metadata_alone_decodes_nothing(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    tracks = list_tracks(folder).assign(title="another", genre="rock")
    assert counts(extract_clips(tracks, store, BUCKETS, n_jobs=1)) == (N_TRACKS, 0, 0, 0, 0)


def test_changed_settings_decode_everything_again(folder: Path, store: AudioStore) -> None:
    extract(folder, store)
    fewer = ClipSettings(clips_per_track=3)
    assert counts(extract(folder, store, fewer)) == (0, 0, N_TRACKS, 0, 0)
    assert len(store.read_clips(BUCKETS)) == 3 * N_TRACKS
    longer = ClipSettings(clips_per_track=3, limits=AudioLimits(min_seconds=12))
    assert counts(extract(folder, store, longer)) == (0, 0, N_TRACKS, 0, 2)


def test_unusable_file_is_quarantined_and_tried_again_only_when_it_changed(
    folder: Path, store: AudioStore
) -> None:
    (folder / "3.wav").write_bytes(b"no audio")
    assert counts(extract(folder, store)) == (0, N_TRACKS, 0, 0, 1)
    rejected = store.read_rejected(BUCKETS)
    assert rejected[["track_id", "reason"]].to_numpy().tolist() == [["3", "not_audio"]]
    assert "replace the file" in rejected["remedy"][0]
    assert counts(extract(folder, store)) == (N_TRACKS, 0, 0, 0, 1)
    write_track(folder, 3)
    assert counts(extract(folder, store)) == (N_TRACKS - 1, 0, 1, 0, 0)
    assert store.read_rejected(BUCKETS).empty
    (folder / "3.wav").write_bytes(b"broken")
    assert counts(extract(folder, store)) == (N_TRACKS - 1, 0, 1, 0, 1)
    assert "3" not in set(store.read_clips(BUCKETS)["track_id"])
    assert not store.audio_path(hash_track("3")).exists()


def test_file_that_is_gone_from_the_disk_is_quarantined(folder: Path, store: AudioStore) -> None:
    tracks = list_tracks(folder)
    (folder / "1.wav").unlink()
    assert counts(extract_clips(tracks, store, BUCKETS, n_jobs=1)) == (0, N_TRACKS, 0, 0, 1)
    assert counts(extract_clips(tracks, store, BUCKETS, n_jobs=1)) == (N_TRACKS, 0, 0, 0, 1)


def test_other_buckets_are_left_alone(folder: Path, store: AudioStore) -> None:
    tracks = list_tracks(folder)
    bucket = int(tracks["bucket"].iloc[0])
    mine = int((tracks["bucket"] == bucket).sum())
    assert counts(extract_clips(tracks, store, [bucket], n_jobs=1)) == (0, mine, 0, 0, 0)
    assert set(store.read_clips(BUCKETS)["track_id"]) == set(
        tracks.loc[tracks["bucket"] == bucket, "track_id"]
    )


def test_worker_processes_make_the_same_store_and_end(
    folder: Path, store: AudioStore, tmp_path: Path
) -> None:
    (folder / "3.wav").write_bytes(b"no audio")
    extract(folder, store)
    parallel = AudioStore(tmp_path / "parallel")
    extract_clips(list_tracks(folder), parallel, BUCKETS, n_jobs=2)
    assert snapshot(parallel) == snapshot(store)
    assert not multiprocessing.active_children()


def test_bucket_without_its_manifest_is_done_again_to_the_same_bytes(
    folder: Path, store: AudioStore
) -> None:
    extract(folder, store)
    before = snapshot(store)
    for path in store.root.glob("*/clips.parquet"):
        path.unlink()
    for path in store.root.glob("*/*.npy"):
        path.write_bytes(b"half")
    assert extract(folder, store).new == N_TRACKS
    assert snapshot(store) == before


# A module with a decoder that misbehaves on files that say so, as a broken library would.
DECODER = """
import ctypes, os, signal, time
from ml.audio import decode_blocks
from ml.errors import AudioError
def decode(path, limits):
    order = path.read_bytes()[:8]
    if order[:4] == b"RIFF":
        yield from decode_blocks(path, limits)
    if order == b"crash   ":
        ctypes.string_at(0)
    elif order == b"exit    ":
        os._exit(0)
    elif order == b"hang    ":
        time.sleep(100)
    elif order == b"eat     ":
        [bytearray(1 << 20) for _ in range(100_000)]
    elif order == b"raise   ":
        raise ZeroDivisionError("in the decoder")
    elif order == b"deny    ":
        raise AudioError("unreadable", "Let this user read it.")
    elif order == b"replace ":
        yield from decode_blocks(path.parent / "1.wav", limits)
        path.write_bytes((path.parent / "2.wav").read_bytes())
    elif order in (b"killed  ", b"stuck   "):
        if not path.with_suffix(".tried").exists():
            path.with_suffix(".tried").touch()
            os.kill(os.getpid(), signal.SIGKILL) if order == b"killed  " else time.sleep(100)
        yield from decode_blocks(path.parent / "1.wav", limits)
    elif order == b"midway  ":
        yield from decode_blocks(path.parent / "0.wav", limits)
        os.abort()
"""
MISDEEDS = {
    "crash": ("decoder_crashed", "exit code -11"),
    "exit": ("decoder_crashed", "exit code 0"),
    "midway": ("decoder_crashed", "exit code -6"),
    "eat": ("decoder_memory", "over 150 MB"),
    "raise": ("decoder_failed", "ZeroDivisionError"),
}


@pytest.fixture
def misbehave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    (tmp_path / "misbehaving.py").write_text(DECODER)
    monkeypatch.syspath_prepend(tmp_path)
    decoder: Decoder = importlib.import_module("misbehaving").decode
    return decoder


def test_decoder_that_misbehaves_costs_that_track_alone(
    folder: Path, store: AudioStore, misbehave: Decoder
) -> None:
    for name in MISDEEDS:
        (folder / name).write_bytes(f"{name:8}".encode())
    tracks = list_tracks(folder)
    settings = ClipSettings(worker=WorkerLimits(seconds=60, megabytes=150))

    def run(settings: ClipSettings) -> Extraction:
        return extract_clips(tracks, store, BUCKETS, settings, n_jobs=2, decoder=misbehave)

    assert counts(run(settings)) == (0, len(tracks), 0, 0, len(MISDEEDS))
    rejected = store.read_rejected(BUCKETS).set_index("track_id")
    assert rejected["reason"].to_dict() == {name: code for name, (code, _) in MISDEEDS.items()}
    remedies = rejected["remedy"].to_dict()
    assert all(part in remedies[name] for name, (_, part) in MISDEEDS.items())
    assert set(store.read_clips(BUCKETS)["track_id"]) == {str(n) for n in range(N_TRACKS)}
    assert not list(store.root.glob("*/.*"))
    assert counts(run(settings)) == (len(tracks), 0, 0, 0, len(MISDEEDS))
    # Other limits for workers try again what they stopped, and nothing else.
    more = replace(settings, worker=WorkerLimits(seconds=61, megabytes=150))
    assert counts(run(more)) == (len(tracks) - 4, 0, 4, 0, len(MISDEEDS))


def test_decoder_that_hangs_is_stopped_and_remembered(
    folder: Path, store: AudioStore, misbehave: Decoder
) -> None:
    (folder / "hang").write_bytes(b"hang    ")
    tracks = list_tracks(folder).query("track_id == 'hang'")
    settings = ClipSettings(worker=WorkerLimits(seconds=1))
    for expected in ((0, 1, 0, 0, 1), (1, 0, 0, 0, 1)):
        report = extract_clips(tracks, store, BUCKETS, settings, n_jobs=1, decoder=misbehave)
        assert counts(report) == expected
    rejected = store.read_rejected(BUCKETS)
    assert rejected["reason"].tolist() == ["decoder_timeout"]
    assert (
        "within 1 s: export the file again. (`worker: seconds` in the config"
        in rejected["remedy"][0]
    )


@pytest.mark.parametrize("order", ["killed", "stuck"])
def test_file_that_others_may_have_spoilt_is_tried_once_more(
    folder: Path, store: AudioStore, misbehave: Decoder, order: str
) -> None:
    (folder / "0.wav").write_bytes(f"{order:8}".encode())
    settings = ClipSettings(worker=WorkerLimits(seconds=3))
    tracks = list_tracks(folder)
    report = extract_clips(tracks, store, BUCKETS, settings, n_jobs=2, decoder=misbehave)
    assert counts(report) == (0, N_TRACKS, 0, 0, 0)
    assert set(store.read_clips(BUCKETS)["track_id"]) == {str(n) for n in range(N_TRACKS)}


def test_file_replaced_while_it_is_read_is_tried_again(
    folder: Path, store: AudioStore, misbehave: Decoder
) -> None:
    extract(folder, store)
    (folder / "0.wav").write_bytes(b"replace ")
    tracks = list_tracks(folder)

    def run() -> Extraction:
        return extract_clips(tracks, store, BUCKETS, n_jobs=1, decoder=misbehave)

    assert counts(run()) == (N_TRACKS - 1, 0, 1, 0, 1)
    rejected = store.read_rejected(BUCKETS)
    assert rejected[["track_id", "reason"]].to_numpy().tolist() == [["0", "changed_meanwhile"]]
    assert rejected["remedy"].tolist() == ["It changed while it was read: run again."]
    assert counts(run()) == (N_TRACKS - 1, 0, 1, 0, 0)
    assert np.array_equal(np.load(store.audio_path(hash_track("0"))), decode(folder / "2.wav"))


def test_file_replaced_before_it_is_read_is_tried_again(folder: Path, store: AudioStore) -> None:
    planned = fingerprint_file(str(folder / "0.wav"))
    write_track(folder, 0, seconds=20)
    task = Task("0", hash_track("0"), str(folder / "0.wav"), "f", "w", planned)
    outcome = decode_track(task, store, AudioLimits(), decode_blocks)
    assert isinstance(outcome, AudioError)
    assert outcome.reason == "changed_meanwhile"


@pytest.mark.parametrize("last", ["adopt", "write_bucket"])
def test_interrupted_change_that_is_taken_back_leaves_nothing_of_it(
    folder: Path, store: AudioStore, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    extract(folder, store)
    before = snapshot(store)
    path, kept = folder / "1.wav", folder.parent / "kept.wav"
    path.rename(kept)
    write_track(folder, 1, seconds=20)
    done: Callable[..., None] = getattr(AudioStore, last)

    def be_killed(*arguments: object) -> None:
        if last == "adopt":
            done(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AudioStore, last, be_killed)
        with pytest.raises(KeyboardInterrupt):
            extract(folder, store)
    kept.rename(path)  # with its time of modification
    assert extract(folder, store).changed == 1
    assert snapshot(store) == before


def test_unreadable_file_is_tried_again_though_it_has_not_changed(
    folder: Path, store: AudioStore, misbehave: Decoder
) -> None:
    (folder / "0.wav").write_bytes(b"deny    ")
    for expected in ((0, N_TRACKS, 0, 0, 1), (N_TRACKS - 1, 0, 1, 0, 1)):
        report = extract_clips(list_tracks(folder), store, BUCKETS, n_jobs=1, decoder=misbehave)
        assert counts(report) == expected


def test_lost_audio_is_decoded_again(tracks: pd.DataFrame, tmp_path: Path) -> None:
    store = AudioStore(tmp_path)
    extract_clips(tracks, store, range(N_BUCKETS), n_jobs=1)
    digest = store.read_clips(range(N_BUCKETS))["digest"].iloc[0]
    before = store.audio_path(digest).read_bytes()
    store.audio_path(digest).unlink()
    report = extract_clips(tracks, store, range(N_BUCKETS), n_jobs=1)
    assert report.changed == 1
    assert store.audio_path(digest).read_bytes() == before
