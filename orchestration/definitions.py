"""Everything that Dagster loads, assembled."""

import dagster as dg

from orchestration.assets import catalogue, modelling, serving
from orchestration.automation.alerts import failed_run_alert
from orchestration.automation.jobs import PIPELINE
from orchestration.automation.triggers import catalogue_changes, weekly_refresh
from orchestration.executors import choose_executor
from orchestration.resources import Services
from orchestration.sweep import sweep
from orchestration.takedown import takedown
from orchestration.versions import VERSIONS, nightly_recall

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([catalogue, modelling, serving]),
    asset_checks=dg.load_asset_checks_from_modules([catalogue, modelling, serving]),
    jobs=[*PIPELINE, *VERSIONS, sweep, takedown],
    schedules=[weekly_refresh, nightly_recall],
    sensors=[catalogue_changes, failed_run_alert],
    resources={"services": Services()},
    executor=choose_executor(),
)
