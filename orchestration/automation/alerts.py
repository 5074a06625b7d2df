"""Tell people that a run has failed: a post to the webhook that `ALERT_WEBHOOK` names."""

import json
from urllib.request import Request, urlopen

import dagster as dg

from orchestration.failures import explain_event
from orchestration.resources import Services

SECONDS = 10


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    monitor_all_code_locations=False,
    description="Posts every failed run to ALERT_WEBHOOK; without one, writes a line to the log.",
)
def failed_run_alert(context: dg.RunFailureSensorContext, services: Services) -> None:
    """Say which run has failed, at which step and why."""
    alert = describe_failure(context)
    webhook = services.environment.alert_webhook
    if webhook:
        post_alert(webhook, alert)
    else:
        context.log.error("%s (set ALERT_WEBHOOK to have this posted)", alert["text"])


def describe_failure(context: dg.RunFailureSensorContext) -> dict[str, object]:
    """Put a failed run into a sentence and the facts behind it.

    Returns
    -------
    dict
        `text` for people (what Slack, Mattermost and Teams' workflows show), and `job`, `run_id`,
        `steps` (what each failed step said), `tags` for programs.
    """
    run = context.dagster_run
    steps = {
        str(event.step_key): explain_event(event) for event in context.get_step_failure_events()
    }
    why = "; ".join(f"{step}: {said}" for step, said in steps.items())
    return {
        "text": f"soundalike: run {run.run_id} of {run.job_name} failed. "
        f"{why or context.failure_event.message} Production stays as it was.",
        "job": run.job_name,
        "run_id": run.run_id,
        "steps": steps,
        "tags": {key: value for key, value in run.tags.items() if key.startswith("soundalike/")},
    }


def post_alert(webhook: str, alert: dict[str, object]) -> None:
    """Post an alert as JSON.

    Raises
    ------
    OSError
        The webhook does not answer, or not with success; the sensor's tick shows it.
    """
    body = json.dumps(alert).encode()
    request = Request(webhook, body, {"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=SECONDS):  # noqa: S310 (an operator's own address)
        pass
