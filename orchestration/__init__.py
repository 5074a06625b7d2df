"""Dagster definitions: thin assets over `ml` and `search`."""

import warnings

import dagster as dg

# Backfill policies are beta in Dagster 1.13; a notice per asset and process helps nobody.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
