"""What monitors ask: whether it is alive, whether it can answer, and how fast."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ml.errors import SoundalikeError
from search.api.models import Health
from search.api.services import Given
from search.catalogue import describe_active

router = APIRouter(tags=["health"])


@router.get("/healthz")
def check_health() -> Health:
    """Tell that the process answers."""
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": Health, "description": "Not ready."}})
def check_readiness(services: Given, response: Response) -> Health:
    """Tell whether searches can be answered: database, active model, and uploads without a wait."""
    try:
        active = describe_active(services.database)
        checks = {"database": "ok", "model": "ok" if active else "none is active"}
    except SoundalikeError:
        checks = {"database": "does not answer", "model": "unknown"}
    checks["uploads"] = services.warmth
    ready = set(checks.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return Health(status="ok" if ready else "not ready", checks=checks)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def get_metrics(services: Given) -> Response:
    """Give the counters in Prometheus's text format."""
    return Response(services.metrics.expose(), media_type=CONTENT_TYPE_LATEST)
