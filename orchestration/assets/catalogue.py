"""The catalogue: manifest, splits and clips."""

import dagster as dg
import pandas as pd

from ml.audio import SAMPLE_RATE
from ml.audio_store import CLIP_SAMPLES
from ml.clip_settings import ClipSettings
from ml.snapshot import SEEN, compare_snapshots, keep_stored, take_snapshot
from ml.splits import N_BUCKETS, SPLITS, count_splits, split_tracks
from ml.workspace import Workspace
from orchestration.columns import describe_columns
from orchestration.failures import explain_failures
from orchestration.freshness import WEEKLY
from orchestration.metadata import Materialized, show_table
from orchestration.partitions import BUCKETS, selected_buckets
from orchestration.resources import Services
from orchestration.settings import preset

GROUP = "catalogue"
OWNERS = ["team:data"]

MAX_REJECTED_SHARE = 0.10
"""More rejected rows than this, and something is wrong with the manifest as a whole."""

MAX_QUARANTINED_SHARE = 0.05
"""More unusable files than this, and something is wrong with the files' folder."""


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandas", "parquet"},
    code_version="1",
    freshness_policy=WEEKLY,
)
@explain_failures
def catalog(services: Services) -> Materialized:
    """The manifest's usable rows; rejected rows are set aside with a reason.

    Read from `CATALOG`. Before hours of work begin, it also sees that MLflow and Postgres answer.
    """
    from ml.catalog import read_catalog
    from search.takedown import denied_tracks

    services.open_registry()
    with services.open_database() as database:
        found = read_catalog(services.environment.manifest, denied_tracks(database))
    services.workspace.save_table("catalog", found.tracks)
    services.workspace.save_table("rejected", found.rejected)
    changes = _note_changes(services.workspace, take_snapshot(found.tracks))
    return dg.MaterializeResult(
        metadata={
            "manifest": services.environment.manifest,
            "digest": found.digest,
            "changes_since_last_run": changes,
            "dagster/row_count": len(found.tracks),
            "dagster/column_schema": describe_columns(found.tracks),
            "rejected": len(found.rejected),
            "rejected_rows": show_table(found.rejected),
            "genres": show_table(_count_labels(found.tracks, "genres")),
            "moods": show_table(_count_labels(found.tracks, "moods")),
        }
    )


@dg.asset_check(asset=catalog, blocking=True)
@explain_failures
def rejected_rows_under_limit(services: Services) -> dg.AssetCheckResult:
    """At most a tenth of the manifest's rows are rejected."""
    rejected = services.workspace.load_table("rejected")
    rows = len(services.workspace.load_table("catalog")) + len(rejected)
    share = len(rejected) / rows
    return dg.AssetCheckResult(
        passed=share <= MAX_REJECTED_SHARE,
        description=f"{len(rejected)} of {rows} rows rejected ({share:.1%}, limit "
        f"{MAX_REJECTED_SHARE:.0%}): see `rejected_rows` of the asset for what to do about each.",
        metadata={"rejected_rows": show_table(rejected)},
    )


@dg.asset(
    deps=[catalog], group_name=GROUP, owners=OWNERS, kinds={"pandas", "parquet"}, code_version="1"
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


@preset("clips")
class ClipsConfig(dg.Config):
    """What a run over the clips may do about tracks that have left the manifest."""

    allow_shrinking: bool = False
    grace_days: float = ClipSettings.grace_days


@dg.asset(
    deps=[tracks],
    partitions_def=BUCKETS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "parquet"},
    code_version="1",
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
        ClipSettings(grace_days=config.grace_days),
        allow_shrinking=config.allow_shrinking,
    )
    keep_stored(workspace, buckets)
    rows = workspace.store.read_clips(buckets)
    hours = rows.drop_duplicates("digest")["samples"].sum() / SAMPLE_RATE / 3600
    quarantine = workspace.store.read_rejected(buckets)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "dagster/column_schema": describe_columns(rows),
            "tracks": str(report),
            **{name: getattr(report, name) for name in ("unchanged", "new", "changed", "gone")},
            "hours_of_audio": float(hours),
            "decoded_seconds_per_second": report.decoded_seconds / max(report.wall_seconds, 1e-9),
            "quarantined": len(quarantine),
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
    complete = per_track.index[per_track == ClipSettings().clips_per_track]
    missing = set(wanted["track_id"]) - set(complete) - set(quarantined)
    unreadable = [d for d in rows["digest"].unique() if not workspace.store.audio_path(d).exists()]
    outside = int((rows["start"] + CLIP_SAMPLES > rows["samples"]).sum())
    share = len(quarantined) / len(wanted)
    return dg.AssetCheckResult(
        passed=not missing and not unreadable and not outside and share <= MAX_QUARANTINED_SHARE,
        description=f"{len(missing)} tracks without clips, {len(unreadable)} without audio, "
        f"{outside} clips beyond their track's end, {len(quarantined)} tracks quarantined "
        f"({share:.1%}, limit {MAX_QUARANTINED_SHARE:.0%}): correct the files and run again.",
        metadata={"missing": sorted(missing)[:50]},
    )


def _note_changes(workspace: Workspace, now: pd.DataFrame) -> str:
    """Keep what the manifest says now, and say what is different from the last time."""
    before = workspace.load_table(SEEN) if workspace.has_table(SEEN) else None
    workspace.save_table(SEEN, now)
    return "first run" if before is None else str(compare_snapshots(before, now))


def _count_labels(tracks: pd.DataFrame, column: str) -> pd.DataFrame:
    counts = tracks[column].explode().fillna("(none)").value_counts()
    return counts.rename_axis(column).reset_index(name="tracks")
