"""What is searched: embeddings under their model version, the index, the active version."""

from dataclasses import asdict

import dagster as dg

from orchestration.assets.catalogue import clips, tracks
from orchestration.assets.modelling import production_model
from orchestration.failures import explain_failures
from orchestration.metadata import Materialized, show_table
from orchestration.partitions import BUCKETS, selected_buckets
from orchestration.resources import Services

GROUP = "serving"
OWNERS = ["team:data"]


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
            **asdict(load),
            "tracks": f"{counts.unchanged:,} unchanged, {counts.new:,} new, "
            f"{counts.changed:,} changed, {counts.gone:,} gone",
        }
    )


@dg.asset(deps=[embeddings], group_name=GROUP, owners=OWNERS, kinds={"postgres"}, code_version="1")
@explain_failures
def index(services: Services) -> Materialized:
    """The HNSW index over the production version's embeddings, its recall measured."""
    from search.publication import index_production

    with services.open_database() as database:
        built, report = index_production(database, services.workspace)
    return dg.MaterializeResult(metadata={"built_now": built, **asdict(report)})


@dg.asset_check(asset=index, blocking=True)
@explain_failures
def index_recall(services: Services) -> dg.AssetCheckResult:
    """Searching by the index finds what exact search finds: recall@10 at least 0.98."""
    from search.publication import recall_report

    report = recall_report(services.workspace)
    return dg.AssetCheckResult(
        passed=report.passed, description=report.verdict, metadata=asdict(report)
    )


@dg.asset(deps=[index], group_name=GROUP, owners=OWNERS, kinds={"postgres"}, code_version="1")
@explain_failures
def active_model(services: Services) -> Materialized:
    """The version that everyone queries, changed in one transaction."""
    from search.publication import activate_production

    with services.open_database() as database:
        previous, active, models = activate_production(database, services.workspace)
    return dg.MaterializeResult(
        metadata={"version": active, "replaced": previous or 0, "models": show_table(models)}
    )
