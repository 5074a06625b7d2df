"""What step processes are forked with: importing these takes longer than many a step."""

import dagster as dg

import ml.catalog
import ml.clips
import ml.development
import ml.promotion
import orchestration.definitions
import search.publication
from orchestration.orphans import bind_steps

__all__ = ["ml", "orchestration", "search"]

bind_steps()

# Makes Dagster import its storage, which every step process opens.
dg.DagsterInstance.ephemeral().dispose()
