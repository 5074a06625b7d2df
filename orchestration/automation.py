"""When things run: the job over the whole graph, and its schedule."""

import dagster as dg

from orchestration.partitions import EVERY_BUCKET

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    run_tags=EVERY_BUCKET,
    description="The whole graph in one run: catalogue, models, gate, embeddings, index. "
    "What has not changed is found instead of made again.",
)


@dg.schedule(job=refresh, cron_schedule="0 3 * * 1", execution_timezone="UTC")
def weekly_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Refresh every Monday at 03:00 UTC; switched on in the UI."""
    return dg.RunRequest(
        run_key=f"weekly:{context.scheduled_execution_time:%Y-%m-%d}", tags=EVERY_BUCKET
    )
