"""Everything that Dagster loads, assembled."""

import dagster as dg

from orchestration.assets import catalogue, modelling, serving
from orchestration.automation import refresh, weekly_refresh
from orchestration.resources import Services
from orchestration.takedown import takedown
from orchestration.versions import (
    activate_version,
    check_recall,
    nightly_recall,
    retire_versions,
    rollback_version,
)

# One step at a time: each uses all cores. Steps are forked from a process that has the heavy
# libraries already, since importing them takes longer than many a step.
executor = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 1,
        "start_method": {
            "forkserver": {"preload_modules": ["__main__", "orchestration.preload"]},
        },
    }
)

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([catalogue, modelling, serving]),
    asset_checks=dg.load_asset_checks_from_modules([catalogue, modelling, serving]),
    jobs=[refresh, takedown, activate_version, rollback_version, retire_versions, check_recall],
    schedules=[weekly_refresh, nightly_recall],
    resources={"services": Services()},
    executor=executor,
)
