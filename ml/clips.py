"""Fill the audio store and draw the clips in it (paper, section 2.1).

A clip is a track and the sample at which ten seconds start. A track is decoded again only when its
file or the settings have changed; a file that cannot be used is quarantined with its reason.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.audio import DECODER_VERSION, SAMPLE_RATE, AudioLimits, decode
from ml.audio_store import CLIP_COLUMNS, CLIP_SAMPLES, REJECTED_COLUMNS, AudioStore
from ml.errors import AudioError
from ml.progress import track_progress
from ml.splits import assign_bucket
from ml.workers import map_in_parallel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClipSettings:
    """How tracks become clips; a change of these decodes everything again."""

    clips_per_track: int = 10
    limits: AudioLimits = field(default_factory=AudioLimits)

    @cached_property
    def fingerprint(self) -> str:
        """Short digest of every setting, and of how files are decoded."""
        decisive = (DECODER_VERSION, sorted(asdict(self).items()))
        return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]


@dataclass
class Extraction:
    """What a run over some buckets did, in tracks."""

    unchanged: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    quarantined: int = 0
    decoded_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.unchanged:,} unchanged, {self.new:,} new, {self.changed:,} changed, "
            f"{self.gone:,} gone, {self.quarantined:,} quarantined"
        )


class _Task(NamedTuple):
    """One track to decode."""

    track_id: str
    digest: str
    path: str
    fingerprint: str


def draw_positions(digest: str, samples: int, clips: int = 10) -> npt.NDArray[np.int64]:
    """Draw where a track's clips start: the same on every machine, in every order.

    Parameters
    ----------
    digest : str
        Of the track's id; it seeds the draw.
    samples : int
        Length of the track at 16 kHz, at least `CLIP_SAMPLES`.
    clips : int
        How many.

    Returns
    -------
    numpy.ndarray [shape=(clips,)]
        Ascending starts in samples.
    """
    generator = np.random.default_rng(int(digest, 16))
    return np.sort(generator.integers(0, samples - CLIP_SAMPLES, size=clips, endpoint=True))


def extract_clips(
    tracks: pd.DataFrame,
    store: AudioStore,
    buckets: Iterable[int],
    settings: ClipSettings | None = None,
    n_jobs: int = -1,
) -> Extraction:
    """Bring the audio store and the clip manifests of some buckets up to date.

    Parameters
    ----------
    tracks : pandas.DataFrame
        Columns `track_id`, `digest`, `bucket`, `path`.
    store : AudioStore
        Where the samples and manifests go.
    buckets : iterable of int
        Which buckets to do; tracks of others are left alone.
    settings : ClipSettings, optional
        How tracks become clips.
    n_jobs : int
        Processes, as joblib counts them.

    Returns
    -------
    Extraction
        Counts; a second run over an unchanged catalogue decodes nothing and says so.
    """
    settings = settings or ClipSettings()
    started = time.monotonic()
    report = Extraction()
    plans = [_plan_bucket(bucket, tracks, store, settings, report) for bucket in buckets]
    for plan, outcomes in _run(plans, store, settings, n_jobs):
        _finish_bucket(plan, outcomes, store, settings, report)
    report.quarantined = len(store.read_rejected(plan.bucket for plan in plans))
    report.wall_seconds = time.monotonic() - started
    logger.info("Clips: %s", report)
    return report


class _Plan(NamedTuple):
    """What is left to do in a bucket."""

    bucket: int
    clips: pd.DataFrame
    rejected: pd.DataFrame
    tasks: list[_Task]
    stale: bool


def _plan_bucket(
    bucket: int, tracks: pd.DataFrame, store: AudioStore, settings: ClipSettings, report: Extraction
) -> _Plan:
    store.sweep(bucket)
    clips, rejected = store.read_clips([bucket]), store.read_rejected([bucket])
    known = dict(zip(rejected["track_id"], rejected["fingerprint"], strict=True))
    known |= dict(zip(clips["track_id"], clips["fingerprint"], strict=True))
    lost = {d for d in clips["digest"].unique() if not store.audio_path(d).exists()}
    wanted = [_task(row, settings) for row in tracks[tracks["bucket"] == bucket].itertuples()]
    tasks = [t for t in wanted if known.get(t.track_id) != t.fingerprint or t.digest in lost]
    gone = known.keys() - {task.track_id for task in wanted}
    changed = sum(task.track_id in known for task in tasks)
    report.unchanged += len(wanted) - len(tasks)
    report.changed += changed
    report.new += len(tasks) - changed
    report.gone += len(gone)
    redone = gone | {task.track_id for task in tasks}
    kept_clips = clips[~clips["track_id"].isin(redone)]
    kept_rejected = rejected[~rejected["track_id"].isin(redone)]
    return _Plan(bucket, kept_clips, kept_rejected, tasks, stale=bool(redone))


def _task(row: Any, settings: ClipSettings) -> _Task:  # noqa: ANN401 (itertuples' row has no type)
    try:
        status = Path(row.path).stat()
        source = f"{status.st_size}:{status.st_mtime_ns}"
    except OSError:
        source = "missing"
    return _Task(row.track_id, row.digest, row.path, f"{source}:{settings.fingerprint}")


def _run(
    plans: list[_Plan], store: AudioStore, settings: ClipSettings, n_jobs: int
) -> Iterator[tuple[_Plan, dict[str, int | AudioError]]]:
    """Decode all tasks in parallel; yield each bucket as soon as its last track is in."""
    tasks = [task for plan in plans for task in plan.tasks]
    pending = {plan.bucket: len(plan.tasks) for plan in plans}
    outcomes: dict[int, dict[str, int | AudioError]] = {plan.bucket: {} for plan in plans}
    by_bucket = {plan.bucket: plan for plan in plans}
    yield from ((plan, {}) for plan in plans if plan.stale and not plan.tasks)
    if not tasks:
        return
    decode_one = partial(_decode_task, store=store, limits=settings.limits)
    results = map_in_parallel(decode_one, tasks, n_jobs)
    for task, outcome in track_progress(results, len(tasks), "tracks decoded", logger):
        bucket = assign_bucket(task.digest)
        outcomes[bucket][task.track_id] = outcome
        pending[bucket] -= 1
        if not pending[bucket]:
            yield by_bucket[bucket], outcomes.pop(bucket)


def _decode_task(
    task: _Task, store: AudioStore, limits: AudioLimits
) -> tuple[_Task, int | AudioError]:
    try:
        with _silence_decoders():
            samples = decode(Path(task.path), limits)
    except AudioError as error:
        return task, error
    store.write_audio(task.digest, samples)
    return task, len(samples)


@contextmanager
def _silence_decoders() -> Iterator[None]:
    """Keep what C libraries print about a damaged file off the terminal: its reason is recorded."""
    terminal = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)


def _finish_bucket(
    plan: _Plan,
    outcomes: dict[str, int | AudioError],
    store: AudioStore,
    settings: ClipSettings,
    report: Extraction,
) -> None:
    clips: list[tuple[str, str, int, int, str]] = []
    rejected: list[tuple[str, str, str, str, str]] = []
    for task in plan.tasks:
        outcome = outcomes[task.track_id]
        if isinstance(outcome, AudioError):
            rejected.append(
                (task.track_id, task.digest, task.fingerprint, outcome.reason, outcome.message)
            )
            continue
        report.decoded_seconds += outcome / SAMPLE_RATE
        starts = draw_positions(task.digest, outcome, settings.clips_per_track)
        clips += [
            (task.track_id, task.digest, int(start), outcome, task.fingerprint) for start in starts
        ]
    store.write_bucket(
        plan.bucket,
        _append(plan.clips, pd.DataFrame(clips, columns=list(CLIP_COLUMNS))),
        _append(plan.rejected, pd.DataFrame(rejected, columns=list(REJECTED_COLUMNS))),
    )


def _append(kept: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    frames = [frame for frame in (kept, added) if not frame.empty]
    frame = pd.concat(frames, ignore_index=True) if frames else added
    return frame.sort_values(list(frame.columns[:3])).reset_index(drop=True)
