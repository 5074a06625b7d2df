"""What a run over the audio store has to do: compare the catalogue with what is stored.

A file is known by its size and time of modification, a remote one by its ETag, and by its content
once those differ; with the settings these tell whether its samples are still right.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from ml.audio import DECODER_VERSION, AudioLimits
from ml.audio_store import CLIP_COLUMNS, AudioStore
from ml.decoding import Task
from ml.errors import CatalogError
from ml.isolation import WorkerLimits
from ml.splits import N_BUCKETS

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class ClipSettings:
    """How tracks become clips; a change of the first two decodes everything again."""

    clips_per_track: int = 10
    limits: AudioLimits = field(default_factory=AudioLimits)
    worker: WorkerLimits = field(default_factory=WorkerLimits)
    """For decoding one file; a change of it tries again what these limits stopped."""
    grace_days: float = 30.0
    """How long a track that has left the catalogue is kept."""
    max_vanished: float = 0.2
    """Share of the stored tracks above which a run stops instead of believing that they left."""

    @cached_property
    def fingerprint(self) -> str:
        """Short digest of what decides the samples and clips, and of how files are decoded."""
        return _digest((DECODER_VERSION, self.clips_per_track, sorted(asdict(self.limits).items())))

    @cached_property
    def worker_fingerprint(self) -> str:
        """Short digest of the fingerprint and the worker's limits."""
        return _digest((self.fingerprint, sorted(asdict(self.worker).items())))


def _digest(decisive: object) -> str:
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]


@dataclass
class Extraction:
    """What a run over some buckets did, in tracks."""

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
            f"{self.gone:,} gone, {self.returned:,} returned, {self.removed:,} removed, "
            f"{self.quarantined:,} quarantined"
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
        """Add to the report, as if every task were a file that has changed."""
        redone = {task.track_id for task in self.tasks}
        new = redone - self.before - self.returned
        report.new += len(new)
        report.changed += len(redone - new)
        report.returned += len(self.returned - redone)
        report.unchanged += len(self.wanted - redone - self.returned)
        report.gone += len(self.vanished)
        report.removed += len(self.expired)


def plan_bucket(
    bucket: int,
    tracks: pd.DataFrame,
    sources: Mapping[str, str],
    store: AudioStore,
    settings: ClipSettings,
    now: float,
) -> Plan:
    """Compare a bucket's manifests with the tracks that it is to hold.

    Parameters
    ----------
    bucket : int
        Which.
    tracks : pandas.DataFrame
        Its tracks: `track_id`, `digest`, `path`.
    sources : mapping of str to str
        Fingerprint of each file, by path.
    store : AudioStore
        Nothing in it is changed.
    settings : ClipSettings
        How tracks become clips.
    now : float
        Unix time.

    Returns
    -------
    Plan
    """
    clips, rejected = store.read_clips([bucket]), store.read_rejected([bucket])
    gone = store.read_gone([bucket])
    gone = gone[~gone["track_id"].isin(clips["track_id"])]
    kept = gone.drop(columns="gone_since")
    stored = join_rows([clips, kept], CLIP_COLUMNS)
    firsts = stored.drop_duplicates("track_id")
    known = dict(zip(rejected["track_id"], rejected["fingerprint"], strict=True))
    known |= dict(zip(firsts["track_id"], firsts["fingerprint"], strict=True))
    facts = zip(firsts["track_id"], firsts["digest"], firsts["content"], strict=True)
    contents = {track: content for track, digest, content in facts if store.has_audio(digest)}
    lost = set(firsts["track_id"]) - contents.keys()
    wanted = [_task(row, sources[str(row.path)], settings, contents) for row in tracks.itertuples()]
    tasks = [t for t in wanted if _is_stale(t, known.get(t.track_id)) or t.track_id in lost]
    ids = frozenset(task.track_id for task in wanted)
    since = dict(zip(gone["track_id"], gone["gone_since"], strict=True))
    left = {track: since.get(track, now) for track in contents.keys() - ids}
    expired = {t for t, when in left.items() if now - when > settings.grace_days * DAY_SECONDS}
    return Plan(
        bucket,
        stored,
        rejected,
        tasks,
        gone={track: when for track, when in left.items() if track not in expired},
        before=frozenset(clips["track_id"]) | frozenset(rejected["track_id"]),
        wanted=ids,
        returned=ids & since.keys(),
        expired=frozenset(expired),
    )


def _task(
    row: Any,  # noqa: ANN401 (itertuples' row has no type)
    source: str,
    settings: ClipSettings,
    contents: dict[str, str],
) -> Task:
    content, _, made_by = contents.get(row.track_id, "").partition(":")
    return Task(
        row.track_id,
        row.digest,
        row.path,
        f"{source}:{settings.fingerprint}",
        f"{source}:{settings.worker_fingerprint}",
        stored=content if made_by == settings.fingerprint else "",
    )


def _is_stale(task: Task, known: str | None) -> bool:
    return known not in (task.fingerprint, task.worker_fingerprint)


def require_most(plans: list[Plan], store: AudioStore, limit: float) -> None:
    """Stop before anything is changed if much of the catalogue has vanished at once.

    Parameters
    ----------
    plans : list of Plan
        Of the buckets of this run; the share is taken of all buckets.
    store : AudioStore
        Holds what was there before.
    limit : float
        Largest share.

    Raises
    ------
    CatalogError
        More than that has vanished.
    """
    vanished = sum(len(plan.vanished) for plan in plans)
    if not vanished:
        return
    others = set(range(N_BUCKETS)) - {plan.bucket for plan in plans}
    frames = (store.read_clips(others), store.read_rejected(others))
    before = sum(len(plan.before) for plan in plans) + sum(f["track_id"].nunique() for f in frames)
    if vanished > limit * before:
        raise CatalogError(
            f"{vanished:,} of {before:,} tracks have vanished from the catalogue "
            f"({vanished / before:.0%}, limit {limit:.0%}), and nothing was changed. Is CATALOG "
            "the right manifest, and is its disk there? If they are meant to go, run `clips` with "
            "`allow_shrinking: true` in its config."
        )


def join_rows(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """Put the rows of manifests together, in an order that depends on nothing but the rows."""
    filled = [frame for frame in frames if not frame.empty]
    joined = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
    return joined.sort_values(list(columns[:3])).reset_index(drop=True)
