"""What asks for runs: a sensor on the catalogue, and a weekly schedule.

Both are off until somebody switches them on (`make dev` does). Each request is made once: a run
that failed is for people to look at, and to run again.
"""

from collections.abc import Sequence

import dagster as dg

from ml.errors import CatalogError
from orchestration.automation.decision import Action, Decision, decide
from orchestration.automation.drift import Measurement, measure_drift
from orchestration.automation.jobs import PIPELINE, confirm, extend, refresh, relabel
from orchestration.partitions import BUCKETS, EVERY_BUCKET, bucket_range
from orchestration.resources import Services

REASON_TAG, ACTION_TAG, CATALOGUE_TAG = (
    f"soundalike/{name}" for name in ("reason", "action", "catalogue")
)
RUN_KEY_TAG = "dagster/run_key"
PARTITIONED = ("clips", "embeddings")
SECONDS_BETWEEN_LOOKS = 60
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    jobs=[refresh, extend, relabel, confirm],
    minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Looks at the manifest each minute, and asks for what its changes need: `relabel`, "
    "`extend` or `refresh`.",
)
def catalogue_changes(
    context: dg.SensorEvaluationContext, services: Services
) -> dg.RunRequest | dg.SkipReason:
    """Look at the manifest each minute, and ask for what its changes need; off until switched on.

    Nothing changed: nothing. Labels: `relabel`. Tracks, within a tenth of those that the model
    was trained on: `extend`. Beyond: `refresh`.
    """
    return _respond(context.instance, services, weekly=False)


@dg.schedule(
    job=refresh,
    cron_schedule="0 3 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="On Mondays at 03:00 UTC a `refresh`, if anything has changed since the training.",
)
def weekly_refresh(
    context: dg.ScheduleEvaluationContext, services: Services
) -> dg.RunRequest | dg.SkipReason:
    """Refresh every Monday at 03:00 UTC if anything has changed since the last training.

    Off until switched on. What needs no training is the sensor's.
    """
    return _respond(context.instance, services, weekly=True)


def _respond(
    instance: dg.DagsterInstance, services: Services, *, weekly: bool
) -> dg.RunRequest | dg.SkipReason:
    if busy := _find_unfinished(instance):
        return dg.SkipReason(f"Run {busy.run_id} of `{busy.job_name}` is not finished.")
    try:
        found = measure_drift(services)
    except CatalogError as error:
        return dg.SkipReason(str(error))
    limit = services.environment.growth_limit
    decision = decide(found.drift, weekly=weekly, growth_limit=limit)
    if decision.action is Action.NOTHING or (weekly and decision.action is not Action.REFRESH):
        since = f" since {found.since:%Y-%m-%d %H:%M} UTC" if found.since else ""
        return dg.SkipReason(f"Catalogue {found.digest}{since}: {decision.reason}")
    key = f"{decision.action}:{found.request_key}"
    if earlier := instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: key}), limit=1):
        return dg.SkipReason(
            f"Run {earlier[0].run_id} was asked for the same and ended: {earlier[0].status.value}. "
            "Not again until the catalogue changes, or somebody runs it and it goes on."
        )
    # With the buckets that failed, which the page shows red until they are done.
    buckets = [*decision.buckets, *_list_failed(instance)] if decision.buckets else []
    return _request(key, found, decision, buckets)


def _request(
    key: str, found: Measurement, decision: Decision, buckets: Sequence[int]
) -> dg.RunRequest:
    tags = bucket_range(buckets) if buckets else EVERY_BUCKET
    return dg.RunRequest(
        run_key=key,
        job_name=decision.action.value,
        tags={
            **tags,
            ACTION_TAG: decision.action.value,
            REASON_TAG: decision.reason,
            CATALOGUE_TAG: found.digest,
        },
    )


def _list_failed(instance: dg.DagsterInstance) -> set[int]:
    """List the buckets whose last attempt failed, as the page shows them."""
    keys = BUCKETS.get_partition_keys()
    return {
        int(bucket)
        for name in PARTITIONED
        for bucket, status in (
            instance.get_status_by_partition(dg.AssetKey(name), keys, BUCKETS) or {}
        ).items()
        if status and status.value == "FAILED"
    }


def _find_unfinished(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """Find a run of the pipeline that is queued or going on."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    names = {job.name for job in PIPELINE}
    return next((run for run in runs if run.job_name in names), None)
