"""What is searched: embeddings under their model version, the index, the active version."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from ml.snapshot import INDEXED, STORED, keep_snapshot
from orchestration.assets.catalogue import clips, tracks
from orchestration.assets.modelling import production_model
from orchestration.failures import explain_failures
from orchestration.freshness import WEEKLY
from orchestration.metadata import Materialized, show_table
from orchestration.partitions import BUCKETS, selected_buckets
from orchestration.queue import PIPELINE_POOL
from orchestration.resources import Services
from orchestration.settings import preset

if TYPE_CHECKING:  # psycopg is for the steps that use it
    from search.overview import Serving

GROUP = "serving"
OWNERS = ["team:data"]


@preset("embeddings")
class WindowConfig(dg.Config):
    """Where the windows of a track lie; a change embeds everything anew."""

    window_hop_s: float = 5.0
    max_windows: int = 720


@dg.asset(
    deps=[production_model, clips, tracks],
    partitions_def=BUCKETS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pytorch", "postgres"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def embeddings(
    context: dg.AssetExecutionContext, config: WindowConfig, services: Services
) -> Materialized:
    """A unit vector of 128 for ten seconds every five of each track, under the model's version.

    A bucket whose tracks have not changed since this version was loaded is left alone.
    """
    from search.publication import publish_windows
    from search.windows import WindowSettings

    windows = WindowSettings(**config.model_dump())
    with services.open_database() as database:
        load, counts = publish_windows(
            database,
            services.open_registry(),
            services.workspace,
            selected_buckets(context),
            windows,
        )
    return dg.MaterializeResult(
        metadata={
            "version": services.workspace.load_record("production_model")["version"],
            **asdict(load),
            "seconds": round(load.seconds, 1),
            "windows_per_second": round(load.windows / max(load.seconds, 1e-9), 1),
            "tracks": f"{counts.unchanged:,} unchanged, {counts.new:,} new, "
            f"{counts.changed:,} changed, {counts.gone:,} gone",
        }
    )


@dg.asset(
    deps=[embeddings],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def index(services: Services) -> Materialized:
    """The HNSW index over the production version's embeddings, its recall measured."""
    from search.overview import measure_size
    from search.publication import index_production

    with services.open_database() as database:
        built, report = index_production(database, services.workspace)
        size = measure_size(database, report.version)
    return dg.MaterializeResult(
        metadata={
            "verdict": report.verdict,
            "built_now": built,
            **asdict(report),
            **{name: round(getattr(report, name), 3) for name in ("p50_ms", "p95_ms")},
            **size,
        }
    )


@dg.asset_check(asset=index, blocking=True)
@explain_failures
def index_recall(services: Services) -> dg.AssetCheckResult:
    """Searching by the index finds what exact search finds: recall@10 at least 0.98."""
    from search.publication import recall_report

    report = recall_report(services.workspace)
    return dg.AssetCheckResult(
        passed=report.passed, description=report.verdict, metadata=asdict(report)
    )


@dg.asset(
    deps=[index],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    code_version="1",
    pool=PIPELINE_POOL,
    freshness_policy=WEEKLY,
)
@explain_failures
def active_model(services: Services) -> Materialized:
    """The version that everyone queries, changed in one transaction."""
    from search.overview import read_confusion, read_serving
    from search.publication import activate_production

    with services.open_database() as database:
        previous, active, models = activate_production(database, services.workspace)
        serving, confusion = read_serving(database), read_confusion(database)
    keep_snapshot(services.workspace, INDEXED, STORED)
    return dg.MaterializeResult(
        metadata={
            "version": active,
            "replaced": previous or "none",
            "search_page": dg.MetadataValue.url(services.environment.search_page),
            **_describe_serving(serving),
            "genres_of_neighbours": show_table(confusion),
            "models": show_table(models.drop(columns=["name", "run_id"])),
        }
    )


def _describe_serving(serving: "Serving | None") -> dict[str, str | int | float]:
    """Since when it serves, and how much it agrees with the version before."""
    if serving is None:
        return {}
    facts: dict[str, str | int | float] = {"since": f"{serving.activated_at:%Y-%m-%d %H:%M %Z}"}
    if serving.previous_version is not None:
        facts["version_before"] = serving.previous_version
    if serving.overlap is not None:
        facts["neighbours_shared_with_it"] = round(serving.overlap, 4)
    return facts
