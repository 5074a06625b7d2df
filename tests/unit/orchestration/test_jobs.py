"""The jobs over the graph, and what asks for them."""

import dagster as dg
import pytest

from orchestration.automation.triggers import catalogue_changes, weekly_refresh
from orchestration.definitions import defs
from orchestration.partitions import bucket_range

RANGE = {
    "dagster/asset_partition_range_start": "00",
    "dagster/asset_partition_range_end": "99",
}
PARTS = {
    "extend": "catalog tracks clips embeddings index active_model",
    "relabel": "catalog tracks clips evaluation embeddings index active_model",
    "confirm": "catalog tracks clips embeddings index active_model",
    "promote": "evaluation production_model embeddings index active_model",
}


def test_refresh_holds_every_asset_and_check() -> None:
    layer = defs.resolve_job_def("refresh").asset_layer
    graph = defs.resolve_asset_graph()
    assert set(layer.selected_asset_keys) == set(graph.get_all_asset_keys())
    assert set(layer.asset_graph.asset_check_keys) == set(graph.asset_check_keys)


@pytest.mark.parametrize("job", PARTS)
def test_part_holds_what_it_needs(job: str) -> None:
    layer = defs.resolve_job_def(job).asset_layer
    assert {key.to_user_string() for key in layer.selected_asset_keys} == set(PARTS[job].split())
    checked = {key.asset_key.to_user_string() for key in layer.asset_graph.asset_check_keys}
    assert "evaluation" not in checked, "no part of it promotes by the gate's check"
    assert checked == set(PARTS[job].split()) & {"catalog", "tracks", "clips", "index"}


@pytest.mark.parametrize("job", ["refresh", "extend", "relabel", "confirm", "promote"])
def test_job_runs_over_all_buckets_at_once(job: str) -> None:
    definition = defs.resolve_job_def(job)
    assert RANGE.items() <= definition.run_tags.items()
    assert definition.partitions_def is not None
    assert len(definition.partitions_def.get_partition_keys()) == 100


def test_range_reaches_from_the_first_bucket_to_the_last() -> None:
    assert bucket_range([7, 3, 41]) == {
        "dagster/asset_partition_range_start": "03",
        "dagster/asset_partition_range_end": "41",
    }


def test_triggers_are_off_until_switched_on() -> None:
    assert (weekly_refresh.cron_schedule, weekly_refresh.job_name) == ("0 3 * * 1", "refresh")
    assert weekly_refresh.default_status is dg.DefaultScheduleStatus.STOPPED
    assert catalogue_changes.default_status is dg.DefaultSensorStatus.STOPPED


def test_ends_of_the_graph_have_freshness_policies() -> None:
    graph = defs.resolve_asset_graph()
    keys = graph.get_all_asset_keys()
    found = {key.to_user_string() for key in keys if graph.get(key).freshness_policy}
    assert found == {"catalog", "active_model"}
