"""Partitions: the hundred buckets that tracks are hashed into."""

from collections.abc import Sequence

import dagster as dg

from ml.splits import N_BUCKETS

BUCKETS = dg.StaticPartitionsDefinition([f"{bucket:02d}" for bucket in range(N_BUCKETS)])


def bucket_range(buckets: Sequence[int]) -> dict[str, str]:
    """Make the tags under which one run does the buckets from the first to the last of some.

    Those between that have not changed are found so, and left alone.
    """
    return {
        "dagster/asset_partition_range_start": f"{min(buckets):02d}",
        "dagster/asset_partition_range_end": f"{max(buckets):02d}",
    }


EVERY_BUCKET = bucket_range(range(N_BUCKETS))
"""Run tags under which one run does all buckets, each asset once."""


def selected_buckets(context: dg.AssetExecutionContext) -> list[int]:
    """Buckets that a run over partitioned assets is to do."""
    return [int(key) for key in context.partition_keys]
