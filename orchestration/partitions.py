"""Partitions: the hundred buckets that tracks are hashed into."""

import dagster as dg

from ml.splits import N_BUCKETS

BUCKETS = dg.StaticPartitionsDefinition([f"{bucket:02d}" for bucket in range(N_BUCKETS)])

EVERY_BUCKET = {
    "dagster/asset_partition_range_start": BUCKETS.get_first_partition_key() or "",
    "dagster/asset_partition_range_end": BUCKETS.get_last_partition_key() or "",
}
"""Run tags under which one run does all buckets, each asset once."""


def selected_buckets(context: dg.AssetExecutionContext) -> list[int]:
    """Buckets that a run over partitioned assets is to do."""
    return [int(key) for key in context.partition_keys]
