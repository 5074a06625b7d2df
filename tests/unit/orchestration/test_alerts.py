"""What is said of a failed run, to a real server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import HTTPError

import dagster as dg
import pytest

from ml.errors import CatalogError
from orchestration.automation.alerts import failed_run_alert
from orchestration.failures import explain_failures
from orchestration.resources import Services

SENTENCE = "Correct the row of tracks.csv: it has no path."


@dg.asset
@explain_failures
def bad() -> None:
    """Fail as a user can mend."""
    raise CatalogError(SENTENCE)


class Webhook(HTTPServer):
    """A server of this machine that keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.received: list[dict[str, Any]] = []
        self.status = 200

    @property
    def url(self) -> str:
        """Where to post."""
        return f"http://127.0.0.1:{self.server_port}/alerts"


class Receiver(BaseHTTPRequestHandler):
    """Answers a post."""

    server: Webhook

    def do_POST(self) -> None:
        """Keep what is posted."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.received.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def failed() -> Iterator[tuple[dg.DagsterInstance, Any]]:
    """Fail a run that has a reason."""
    with dg.instance_for_test() as instance:
        job = dg.Definitions([bad]).resolve_implicit_global_asset_job_def()
        tags = {"soundalike/reason": "2 added.", "other": "x"}
        result = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        yield instance, result


def alert(failed: tuple[dg.DagsterInstance, Any]) -> None:
    instance, result = failed
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_run_alert",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    failed_run_alert(context, services=Services())


def test_failed_run_is_posted(
    failed: tuple[dg.DagsterInstance, Any], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", webhook.url)
    alert(failed)
    (posted,) = webhook.received
    run = failed[1].dagster_run
    assert posted["run_id"] == run.run_id
    assert posted["job"] == run.job_name
    assert posted["steps"] == {"bad": SENTENCE}
    assert posted["tags"] == {"soundalike/reason": "2 added."}
    assert run.run_id in posted["text"]
    assert SENTENCE in posted["text"]


def test_webhook_that_refuses_fails_the_tick(
    failed: tuple[dg.DagsterInstance, Any], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK", webhook.url)
    webhook.status = 500
    with pytest.raises(HTTPError) as caught:
        alert(failed)
    caught.value.close()


def test_without_a_webhook_the_log_says_it(
    failed: tuple[dg.DagsterInstance, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ALERT_WEBHOOK", raising=False)
    alert(failed)
    said = capfd.readouterr().err
    assert SENTENCE in said
    assert "set ALERT_WEBHOOK" in said
