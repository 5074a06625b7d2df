"""The catalogue: manifest, splits and clips."""

import dagster as dg
import pandas as pd

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES
from ml.clip_settings import ClipSettings
from ml.shrinking import MAX_VANISHED, require_most
from ml.snapshot import SEEN, compare_snapshots, digest_snapshot, keep_stored, take_snapshot
from ml.splits import N_BUCKETS, SPLITS, count_splits, split_tracks
from ml.workspace import Workspace
from orchestration.assets.clip_config import ClipsConfig, configure_clips
from orchestration.columns import describe_columns
from orchestration.failures import explain_failures
from orchestration.freshness import WEEKLY
from orchestration.metadata import Materialized, show_table
from orchestration.partitions import BUCKETS, selected_buckets
from orchestration.queue import PIPELINE_POOL
from orchestration.resources import Services
from orchestration.settings import preset

GROUP = "catalogue"
OWNERS = ["team:data"]

MAX_REJECTED_SHARE = 0.10
"""More rejected rows than this, and something is wrong with the manifest as a whole."""

MAX_QUARANTINED_SHARE = 0.05
"""More unusable files than this, and something is wrong with the files' folder."""


CLIP_RECORD = "clips"
"""Record of how many clips each track was to get."""


@preset("catalog")
class CatalogConfig(dg.Config):
    """What a run may do about tracks that have left the manifest."""

    allow_shrinking: bool = False
    max_vanished: float = MAX_VANISHED


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandas", "parquet"},
    code_version="1",
    pool=PIPELINE_POOL,
    freshness_policy=WEEKLY,
)
@explain_failures
def catalog(config: CatalogConfig, services: Services) -> Materialized:
    """The manifest's usable rows; rejected rows are set aside with a reason.

    Read from `CATALOG`. Before hours of work begin, it also sees that MLflow and Postgres answer.
    If more than `max_vanished` of the last catalogue has left at once, it stops, and keeps what
    there was, unless `allow_shrinking` is set.
    """
    from ml.catalog import read_catalog
    from search.takedown import copy_denylist

    workspace = services.workspace
    services.open_registry()
    with services.open_database() as database:
        found = read_catalog(services.environment.manifest, copy_denylist(database, workspace))
    now = take_snapshot(found.tracks)
    changes = _find_changes(workspace, now, 1.0 if config.allow_shrinking else config.max_vanished)
    workspace.save_table("catalog", found.tracks)
    workspace.save_table("rejected", found.rejected)
    workspace.save_table(SEEN, now)
    return dg.MaterializeResult(
        metadata={
            "manifest": services.environment.manifest,
            "digest": digest_snapshot(now),  # as the sensor and the tags of runs have it
            "changes_since_last_run": changes,
            "dagster/row_count": len(found.tracks),
            "dagster/column_schema": describe_columns(found.tracks),
            "rejected": len(found.rejected),
            "rejected_rows": _show_rejected(found.rejected),
            "genres": show_table(_count_labels(found.tracks, "genres")),
            "moods": show_table(_count_labels(found.tracks, "moods")),
        }
    )


@dg.asset_check(asset=catalog, blocking=True)
@explain_failures
def rejected_rows_under_limit(services: Services) -> dg.AssetCheckResult:
    """At most a tenth of the manifest's rows are rejected."""
    from ml.catalog import explain_rejected

    rejected = services.workspace.load_table("rejected")
    rows = len(services.workspace.load_table("catalog")) + len(rejected)
    share = len(rejected) / rows
    return dg.AssetCheckResult(
        passed=share <= MAX_REJECTED_SHARE,
        description=f"{len(rejected)} of {rows} rows rejected ({share:.1%}, limit "
        f"{MAX_REJECTED_SHARE:.0%}). {explain_rejected(rejected)}".strip(),
        metadata={"rejected_rows": _show_rejected(rejected)},
    )


@dg.asset(
    deps=[catalog],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandas", "parquet"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def tracks(services: Services) -> Materialized:
    """Each track with its bucket and split, both decided by a hash of its id."""
    split = split_tracks(services.workspace.load_table("catalog"))
    services.workspace.save_table("tracks", split)
    genres = split.explode("genres").fillna({"genres": "(none)"})
    table = pd.crosstab(genres["genres"], genres["split"]).reset_index()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(split),
            "dagster/column_schema": describe_columns(split),
            **{str(name): count for name, count in count_splits(split).items()},
            "genres_by_split": show_table(table),
        }
    )


@dg.asset_check(asset=tracks, blocking=True)
@explain_failures
def split_proportions(services: Services) -> dg.AssetCheckResult:
    """Splits hold 80, 10 and 10 % of the tracks, give or take four standard deviations."""
    counts = count_splits(services.workspace.load_table("tracks"))
    total = sum(counts.values())
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    allowed = {name: 4 * (total * p * (1 - p)) ** 0.5 for name, p in shares.items()}
    off = [name for name in SPLITS if abs(counts[name] - total * shares[name]) > allowed[name]]
    return dg.AssetCheckResult(
        passed=not off,
        description=", ".join(f"{counts[name]} {name}" for name in SPLITS)
        + (f"; {', '.join(off)} out of proportion: are the track ids distinct?" if off else ""),
    )


@dg.asset(
    deps=[tracks],
    partitions_def=BUCKETS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "parquet"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def clips(
    context: dg.AssetExecutionContext, config: ClipsConfig, services: Services
) -> Materialized:
    """Each track once as 16 kHz mono int16, and ten seeded positions of ten seconds in it.

    A track whose file and settings have not changed is not decoded again; a file that cannot be
    used is quarantined with its reason. What has left the manifest is kept for `grace_days`; if
    much of it has left at once, the run stops unless `allow_shrinking` is set.
    """
    from ml.clips import extract_clips

    workspace, buckets = services.workspace, selected_buckets(context)
    report = extract_clips(
        workspace.load_table("tracks"),
        workspace.store,
        buckets,
        configure_clips(config),
        allow_shrinking=config.allow_shrinking,
        denied=workspace.denied_tracks,
    )
    workspace.save_record(CLIP_RECORD, {"clips_per_track": config.clips_per_track})
    keep_stored(workspace, buckets)
    # What there is, of all buckets; what this run did, of its own.
    rows = workspace.store.read_clips(range(N_BUCKETS))
    hours = rows.drop_duplicates("digest")["samples"].sum() / SAMPLE_RATE / 3600
    quarantine = workspace.store.read_rejected(range(N_BUCKETS))
    tracks = rows["track_id"].nunique() + len(quarantine)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "dagster/column_schema": describe_columns(rows),
            "buckets": len(buckets),
            "tracks": str(report),
            **{name: getattr(report, name) for name in ("unchanged", "new", "changed", "gone")},
            "hours_of_audio": round(float(hours), 2),
            "decoded_seconds_per_second": round(
                report.decoded_seconds / max(report.wall_seconds, 1e-9), 1
            ),
            "quarantined": len(quarantine),
            "quarantined_share": round(len(quarantine) / max(tracks, 1), 4),
            "quarantined_share_limit": MAX_QUARANTINED_SHARE,
            "quarantine": show_table(quarantine, ["track_id", "reason", "remedy"]),
        }
    )


@dg.asset_check(asset=clips, blocking=True)
@explain_failures
def clip_completeness(services: Services) -> dg.AssetCheckResult:
    """Every track has all its clips, inside its stored audio, or a reason why not."""
    workspace = services.workspace
    wanted = workspace.load_table("tracks")
    rows = workspace.store.read_clips(range(N_BUCKETS))
    quarantined = workspace.store.read_rejected(range(N_BUCKETS))["track_id"]
    per_track = rows.groupby("track_id").size()
    complete = per_track.index[per_track == _clips_per_track(workspace)]
    missing = set(wanted["track_id"]) - set(complete) - set(quarantined)
    unreadable = [d for d in rows["digest"].unique() if not workspace.store.audio_path(d).exists()]
    outside = int((rows["start"] + CLIP_SAMPLES > rows["samples"]).sum())
    share = len(quarantined) / len(wanted)
    return dg.AssetCheckResult(
        passed=not missing and not unreadable and not outside and share <= MAX_QUARANTINED_SHARE,
        description=f"{len(missing)} tracks without clips, {len(unreadable)} without audio, "
        f"{outside} clips beyond their track's end, {len(quarantined)} tracks quarantined "
        f"({share:.1%}, limit {MAX_QUARANTINED_SHARE:.0%})"
        + (": `quarantine` of the asset says what to do about each." if len(quarantined) else "."),
        metadata={"missing": sorted(missing)[:50]},
    )


def _show_rejected(rejected: pd.DataFrame) -> dg.MetadataValue:
    """Show no paths: the page cuts off what is far to the right."""
    return show_table(rejected, ["row", "track_id", "reason", "remedy"])


def _find_changes(workspace: Workspace, now: pd.DataFrame, max_vanished: float) -> str:
    """Say what is different from the last time, unless too much has gone."""
    if not workspace.has_table(SEEN):
        return "first run"
    before = workspace.load_table(SEEN)
    changes = compare_snapshots(before, now)
    require_most(len(changes.removed), len(before), max_vanished)
    return str(changes)


def _clips_per_track(workspace: Workspace) -> int:
    if not workspace.has_record(CLIP_RECORD):  # of an earlier version
        return ClipSettings.clips_per_track
    return int(workspace.load_record(CLIP_RECORD)["clips_per_track"])


def _count_labels(tracks: pd.DataFrame, column: str) -> pd.DataFrame:
    counts = tracks[column].explode().fillna("(none)").value_counts()
    return counts.rename_axis(column).reset_index(name="tracks")
