"""Fill the audio store and draw the clips in it (paper, section 2.1).

A clip is a track and the sample at which ten seconds start. A track is decoded again only when the
bytes of its file or the settings have changed; a file that cannot be used is quarantined with its
reason. A track that has left the catalogue is kept for a while, in case it comes back.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.audio import SAMPLE_RATE, decode_blocks
from ml.audio_store import (
    CLIP_COLUMNS,
    CLIP_SAMPLES,
    GONE_COLUMNS,
    REJECTED_COLUMNS,
    AudioStore,
)
from ml.clip_plan import Extraction, Plan, count_vanished, join_rows, plan_buckets
from ml.clip_settings import ClipSettings, explain_rejection
from ml.decoding import CHANGED, WORKER_REASONS, Decoded, Decoder, Task, decode_tracks
from ml.errors import AudioError
from ml.progress import track_progress
from ml.shrinking import require_most
from ml.sources import fingerprint_files
from ml.splits import assign_bucket

logger = logging.getLogger(__name__)


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
    decoder: Decoder = decode_blocks,
    *,
    allow_shrinking: bool = False,
    now: float | None = None,
    denied: Callable[[], Collection[str]] = frozenset,
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
    decoder : Decoder
        Runs in worker processes: a file on which it crashes, hangs or eats memory is quarantined.
    allow_shrinking : bool
        Whether more of the catalogue may vanish at once than the settings allow.
    now : float, optional
        Unix time, for tracks that leave.
    denied : callable
        Gives the tracks that were taken down. Asked once the buckets are locked: a takedown that
        was not heard of by then finds them locked, and is repeated.

    Returns
    -------
    Extraction
        Counts; a second run over an unchanged catalogue decodes nothing and says so.

    Raises
    ------
    CatalogError
        Another run is at work on one of the buckets, or too much has vanished: nothing was changed.
    """
    settings = settings or ClipSettings()
    started = time.monotonic()
    report = Extraction()
    buckets = list(buckets)
    with ExitStack() as locks:
        for bucket in buckets:
            locks.enter_context(store.lock(bucket))
        moment = time.time() if now is None else now
        sources = fingerprint_files(tracks.loc[tracks["bucket"].isin(buckets), "path"])
        plans = plan_buckets(buckets, tracks, sources, store, settings, moment, denied())
        if not allow_shrinking:
            require_most(*count_vanished(plans, store), settings.max_vanished)
        for plan in plans:
            store.sweep(plan.bucket)
            store.remove_unnamed(plan.bucket, set(plan.stored["digest"]))
            plan.count_tracks(report)
        for plan, outcomes in _run(plans, store, settings, n_jobs, decoder):
            _finish_bucket(plan, outcomes, store, settings, report)
    report.wall_seconds = time.monotonic() - started
    logger.info("Clips: %s", report)
    return report


def _run(
    plans: list[Plan], store: AudioStore, settings: ClipSettings, n_jobs: int, decoder: Decoder
) -> Iterator[tuple[Plan, dict[str, Decoded | AudioError]]]:
    """Decode all tasks in parallel; yield each bucket as soon as its last track is in."""
    tasks = [task for plan in plans for task in plan.tasks]
    pending = {plan.bucket: len(plan.tasks) for plan in plans}
    outcomes: dict[int, dict[str, Decoded | AudioError]] = {plan.bucket: {} for plan in plans}
    by_bucket = {plan.bucket: plan for plan in plans}
    yield from ((plan, {}) for plan in plans if plan.changes and not plan.tasks)
    if not tasks:
        return
    results = decode_tracks(tasks, store, settings.limits, settings.worker, n_jobs, decoder)
    for task, outcome in track_progress(results, len(tasks), "tracks decoded", logger):
        bucket = assign_bucket(task.digest)
        outcomes[bucket][task.track_id] = outcome
        pending[bucket] -= 1
        if not pending[bucket]:
            yield by_bucket[bucket], outcomes.pop(bucket)


def _finish_bucket(
    plan: Plan,
    outcomes: dict[str, Decoded | AudioError],
    store: AudioStore,
    settings: ClipSettings,
    report: Extraction,
) -> None:
    clips: list[tuple[str, str, int, int, str, str]] = []
    rejected: list[tuple[str, str, str, str, str]] = []
    same: dict[str, str] = {}
    for task in plan.tasks:
        outcome = outcomes[task.track_id]
        if isinstance(outcome, AudioError):
            known, remedy = _known_by(task, outcome.reason), explain_rejection(outcome)
            rejected.append((task.track_id, task.digest, known, outcome.reason, remedy))
        elif not outcome.samples:
            same[task.track_id] = task.fingerprint
            report.changed -= 1
            report.unchanged += 1
        else:
            report.decoded_seconds += outcome.samples / SAMPLE_RATE
            content = f"{outcome.content}:{settings.fingerprint}"
            starts = draw_positions(task.digest, outcome.samples, settings.clips_per_track)
            facts = (outcome.samples, task.fingerprint, content)
            clips += [(task.track_id, task.digest, int(start), *facts) for start in starts]
    tried = {task.track_id for task in plan.tasks}
    valid = plan.stored[plan.stored["track_id"].isin((plan.wanted - tried) | same.keys())]
    touched = valid["track_id"].map(same)
    valid = valid.assign(fingerprint=touched.where(touched.notna(), valid["fingerprint"]))
    gone = plan.stored[plan.stored["track_id"].isin(plan.gone)]
    stays = plan.rejected[plan.rejected["track_id"].isin(plan.wanted - tried)]
    report.quarantined += len(stays) + len(rejected)
    store.sweep(plan.bucket)  # of what workers that died left behind
    _adopt(plan, outcomes, store)
    store.write_bucket(
        plan.bucket,
        join_rows([valid, pd.DataFrame(clips, columns=list(CLIP_COLUMNS))], CLIP_COLUMNS),
        join_rows(
            [stays, pd.DataFrame(rejected, columns=list(REJECTED_COLUMNS))],
            REJECTED_COLUMNS,
        ),
        join_rows([gone.assign(gone_since=gone["track_id"].map(plan.gone))], GONE_COLUMNS),
    )


def _adopt(plan: Plan, outcomes: dict[str, Decoded | AudioError], store: AudioStore) -> None:
    """Put new samples in place, once the manifests no longer vouch for those that were there.

    Killed between the two, a run would else leave new samples under an old file's name: were that
    file put back, they would pass for its own.
    """
    decoded = {
        task.track_id: task.digest
        for task in plan.tasks
        if isinstance(outcome := outcomes[task.track_id], Decoded) and outcome.samples
    }
    if plan.stored["track_id"].isin(decoded).any():
        clips, rejected, gone = store.read_manifests(plan.bucket)
        store.write_manifests(
            plan.bucket, _disown(clips, decoded), rejected, _disown(gone, decoded)
        )
    for digest in decoded.values():
        store.adopt(digest)


def _disown(rows: pd.DataFrame, tracks: Iterable[str]) -> pd.DataFrame:
    """Say no longer what the samples of some tracks were made from."""
    known = ~rows["track_id"].isin(tracks)
    return rows.assign(**{name: rows[name].where(known, "") for name in ("fingerprint", "content")})


def _known_by(task: Task, reason: str) -> str:
    """Fingerprint that a rejection holds for; a permission or a network may be mended unseen."""
    if reason in ("unreadable", CHANGED):
        return ""
    return task.worker_fingerprint if reason in WORKER_REASONS else task.fingerprint
