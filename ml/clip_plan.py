"""What a run over the audio store has to do: compare the catalogue with what is stored.

A file is known by its size and time of modification, a remote one by its ETag, and by its content
once those differ; with the settings these tell whether its samples are still right.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import pandas as pd

from ml.audio_store import CLIP_COLUMNS, AudioStore
from ml.clip_settings import ClipSettings
from ml.decoding import Task
from ml.splits import N_BUCKETS, assign_bucket

DAY_SECONDS = 86_400.0


@dataclass
class Extraction:
    """What a run over some buckets did, in tracks; those in quarantine are among the others."""

    unchanged: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    returned: int = 0
    removed: int = 0
    quarantined: int = 0
    decoded_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.unchanged:,} unchanged, {self.new:,} new, {self.changed:,} changed, "
            f"{self.gone:,} gone, {self.returned:,} returned, {self.removed:,} removed; "
            f"{self.quarantined:,} in quarantine"
        )


class Plan(NamedTuple):
    """What is left to do in a bucket."""

    bucket: int
    stored: pd.DataFrame
    """Clips of all tracks that have audio, those of gone tracks included."""
    rejected: pd.DataFrame
    tasks: list[Task]
    gone: dict[str, float]
    """Since when each track that is kept, but no longer wanted, has been gone."""
    before: frozenset[str]
    """Tracks that were there at the last run, quarantined ones included."""
    wanted: frozenset[str]
    returned: frozenset[str]
    expired: frozenset[str]

    @property
    def vanished(self) -> frozenset[str]:
        """Tracks that have left since the last run."""
        return self.before - self.wanted

    @property
    def changes(self) -> bool:
        """Whether the manifests will be others."""
        return bool(self.tasks or self.vanished or self.returned or self.expired)

    def count_tracks(self, report: Extraction) -> None:
        """Add to the report, as if every task were a file that has changed.

        Who is in quarantine is known only where nothing changes.
        """
        redone = {task.track_id for task in self.tasks}
        new = redone - self.before - self.returned
        report.new += len(new)
        report.changed += len(redone - new)
        report.returned += len(self.returned - redone)
        report.unchanged += len(self.wanted - redone - self.returned)
        report.gone += len(self.vanished)
        report.removed += len(self.expired)
        report.quarantined += 0 if self.changes else len(self.rejected)


def plan_buckets(
    buckets: list[int],
    tracks: pd.DataFrame,
    sources: Mapping[str, str],
    store: AudioStore,
    settings: ClipSettings,
    now: float,
    denied: Collection[str] = (),
) -> list[Plan]:
    """Compare the manifests of buckets with the tracks that they are to hold.

    Parameters
    ----------
    buckets : list of int
        Which.
    tracks : pandas.DataFrame
        `track_id`, `digest`, `bucket`, `path`; tracks of other buckets are left alone.
    sources : mapping of str to str
        Fingerprint of each file, by path.
    store : AudioStore
        Nothing in it is changed.
    settings : ClipSettings
        How tracks become clips.
    now : float
        Unix time.
    denied : collection of str, optional
        Tracks that were taken down: not wanted, and not kept.

    Returns
    -------
    list of Plan
        In the order of the buckets.
    """
    # All at once: what pandas costs a call is more than the rows of a bucket cost.
    clips, rejected = store.read_clips(buckets), store.read_rejected(buckets)
    gone = store.read_gone(buckets)
    gone = gone[~gone["track_id"].isin(clips["track_id"])]
    stored = _concatenate([clips, gone.drop(columns="gone_since")], CLIP_COLUMNS)
    tracks = tracks[~tracks["track_id"].isin(denied)]
    parts = [_split_by_bucket(frame, buckets) for frame in (tracks, stored, rejected, gone)]
    rows = [_Rows(*frames) for frames in zip(*parts, strict=True)]
    return [
        _plan_bucket(bucket, held, store.list_audio(bucket), sources, settings, now, denied)
        for bucket, held in zip(buckets, rows, strict=True)
    ]


class _Rows(NamedTuple):
    """What is said of one bucket."""

    tracks: pd.DataFrame
    stored: pd.DataFrame
    rejected: pd.DataFrame
    gone: pd.DataFrame


def _split_by_bucket(frame: pd.DataFrame, buckets: list[int]) -> list[pd.DataFrame]:
    groups = dict(list(frame.groupby(frame["digest"].map(cache(assign_bucket)).astype(int))))
    return [groups.get(bucket, frame.iloc[:0]) for bucket in buckets]


def _plan_bucket(
    bucket: int,
    rows: _Rows,
    audio: Set[str],
    sources: Mapping[str, str],
    settings: ClipSettings,
    now: float,
    denied: Collection[str],
) -> Plan:
    tracks, stored, rejected, gone = rows
    known = dict(_pick(rejected, "track_id", "fingerprint"))
    known |= dict(_pick(stored, "track_id", "fingerprint"))
    facts = _pick(stored, "track_id", "digest", "content")
    contents = {track: content for track, digest, content in facts if digest in audio}
    lost = set(stored["track_id"].to_numpy()) - contents.keys()
    wanted = [
        _make_task(track, digest, path, sources[path], settings, contents.get(track, ""))
        for track, digest, path in _pick(tracks, "track_id", "digest", "path")
    ]
    tasks = [t for t in wanted if _is_stale(t, known.get(t.track_id)) or t.track_id in lost]
    ids = frozenset(task.track_id for task in wanted)
    since = dict(_pick(gone, "track_id", "gone_since"))
    left = {track: since.get(track, now) for track in contents.keys() - ids}
    oldest = now - settings.grace_days * DAY_SECONDS
    expired = {track for track, when in left.items() if when < oldest or track in denied}
    return Plan(
        bucket,
        stored,
        rejected,
        tasks,
        gone={track: when for track, when in left.items() if track not in expired},
        before=frozenset(known.keys() - since.keys() | {*rejected["track_id"].to_numpy()}),
        wanted=ids,
        returned=ids & since.keys(),
        expired=frozenset(expired),
    )


def _pick(frame: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Go through some columns; a tenth of the time that `itertuples` takes."""
    return zip(*(frame[column].to_numpy() for column in columns), strict=True)


def _make_task(
    track_id: str, digest: str, path: str, source: str, settings: ClipSettings, content: str
) -> Task:
    stored, _, made_by = content.partition(":")
    return Task(
        track_id,
        digest,
        path,
        f"{source}:{settings.fingerprint}",
        f"{source}:{settings.worker_fingerprint}",
        source,
        stored=stored if made_by == settings.fingerprint else "",
    )


def _is_stale(task: Task, known: str | None) -> bool:
    return known not in (task.fingerprint, task.worker_fingerprint)


def count_vanished(plans: list[Plan], store: AudioStore) -> tuple[int, int]:
    """Count the tracks that have vanished, and all that were there before.

    Parameters
    ----------
    plans : list of Plan
        Of the buckets of this run; what was there before is counted in all buckets.
    store : AudioStore
        Holds what was there before.

    Returns
    -------
    int, int
    """
    if not (vanished := sum(len(plan.vanished) for plan in plans)):
        return 0, 0
    others = set(range(N_BUCKETS)) - {plan.bucket for plan in plans}
    frames = (store.read_clips(others), store.read_rejected(others))
    before = sum(len(plan.before) for plan in plans) + sum(f["track_id"].nunique() for f in frames)
    return vanished, before


def join_rows(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """Put the rows of manifests together, in an order that depends on nothing but the rows."""
    return _concatenate(frames, columns).sort_values(list(columns[:3])).reset_index(drop=True)


def _concatenate(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
