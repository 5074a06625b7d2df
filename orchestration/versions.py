"""Jobs on model versions: activate, go back, retire, and look after the active one's recall."""

from dataclasses import asdict

import dagster as dg

from orchestration.failures import explain_failures
from orchestration.queue import PIPELINE_TAG
from orchestration.resources import Services


class VersionConfig(dg.Config):
    """Which version."""

    version: int


class RetireConfig(dg.Config):
    """Which version, or with 0 all old ones, and how many of the last stay."""

    version: int = 0
    keep: int = 2


@dg.op
@explain_failures
def switch(context: dg.OpExecutionContext, config: VersionConfig, services: Services) -> None:
    """Make a loaded and verified version active."""
    from search.switching import switch_version

    with services.open_database() as database:
        before = switch_version(
            database, services.open_registry(), services.workspace, config.version
        )
    context.add_output_metadata({"version": config.version, "replaced": before or 0})


@dg.op
@explain_failures
def go_back(context: dg.OpExecutionContext, services: Services) -> None:
    """Make the version active that was so before."""
    from search.switching import roll_back

    with services.open_database() as database:
        before, version = roll_back(database, services.open_registry(), services.workspace)
    context.add_output_metadata({"version": version, "replaced": before})


@dg.op
@explain_failures
def drop_embeddings(
    context: dg.OpExecutionContext, config: RetireConfig, services: Services
) -> None:
    """Drop the embeddings of one version, or of all old ones."""
    from search.index import retire_old
    from search.switching import retire_version

    with services.open_database() as database:
        if config.version:
            retire_version(database, config.version, config.keep)
            retired = [config.version]
        else:
            retired = retire_old(database, config.keep)
    context.add_output_metadata({"retired": retired})


@dg.op
@explain_failures
def measure_active(context: dg.OpExecutionContext, services: Services) -> None:
    """Measure the recall of the active version as it is now; fails if it is not good enough."""
    from search.verification import check_recall

    with services.open_database() as database:
        report = check_recall(database)
    figures = {**asdict(report), "verdict": report.verdict, "needs_reindex": report.needs_reindex}
    if not report.passed:
        raise dg.Failure(report.verdict, metadata=figures, allow_retries=False)
    context.add_output_metadata(figures)


@dg.job(
    tags=PIPELINE_TAG,
    description="Make a loaded and verified version the one that everyone queries.",
)
def activate_version() -> None:
    """Activate one version."""
    switch()


@dg.job(
    tags=PIPELINE_TAG, description="Go back to the version that served before, in one transaction."
)
def rollback_version() -> None:
    """Go back one version."""
    go_back()


@dg.job(
    tags=PIPELINE_TAG,
    description="Drop the embeddings of old versions; the last two stay unless told.",
)
def retire_versions() -> None:
    """Retire one version or all old ones."""
    drop_embeddings()


@dg.job(
    tags=PIPELINE_TAG,
    description="Recall of the active version's index against exact search, with ef_search and "
    "query times. Fails when it falls short, and says when to build the index anew.",
)
def check_recall() -> None:
    """Look whether the index still finds what exact search finds."""
    measure_active()


nightly_recall = dg.ScheduleDefinition(
    name="nightly_recall",
    job=check_recall,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    description="Checks the active version's recall every night at 02:00 UTC; off until switched "
    "on in the UI.",
)

VERSIONS = (activate_version, rollback_version, retire_versions, check_recall)
