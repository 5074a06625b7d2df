"""What step processes are forked with: importing these takes longer than many a step."""

import dagster as dg

import ml.promotion
import orchestration.definitions
import search.publication

__all__ = ["ml", "orchestration", "search"]

# Makes Dagster import its storage, which every step process opens.
dg.DagsterInstance.ephemeral().dispose()
