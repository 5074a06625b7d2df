"""The job and its schedule."""

import datetime as dt

import dagster as dg

from orchestration.automation import weekly_refresh
from orchestration.definitions import defs

RANGE = {
    "dagster/asset_partition_range_start": "00",
    "dagster/asset_partition_range_end": "99",
}


def test_refresh_holds_every_asset_and_check() -> None:
    layer = defs.resolve_job_def("refresh").asset_layer
    graph = defs.resolve_asset_graph()
    assert set(layer.selected_asset_keys) == set(graph.get_all_asset_keys())
    assert set(layer.asset_graph.asset_check_keys) == set(graph.asset_check_keys)


def test_refresh_runs_over_all_buckets_at_once() -> None:
    job = defs.resolve_job_def("refresh")
    assert RANGE.items() <= job.run_tags.items()
    assert job.partitions_def is not None
    assert len(job.partitions_def.get_partition_keys()) == 100


def test_schedule_asks_for_one_run_a_week_over_all_buckets() -> None:
    assert (weekly_refresh.cron_schedule, weekly_refresh.job_name) == ("0 3 * * 1", "refresh")
    monday = dt.datetime(2024, 1, 1, 3, tzinfo=dt.UTC)
    with dg.build_schedule_context(scheduled_execution_time=monday) as context:
        request = weekly_refresh(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "weekly:2024-01-01"
    assert RANGE.items() <= request.tags.items()
