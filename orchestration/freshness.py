"""How old the ends of the graph may grow before the UI warns.

An unchanged catalogue is confirmed every six days, so an older asset means that nothing looks at
the catalogue any more: its sensor is off, the daemon is down, or runs fail.
"""

from datetime import timedelta

import dagster as dg

WEEKLY = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(days=8), warn_window=timedelta(days=7)
)
