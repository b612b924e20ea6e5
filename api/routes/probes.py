"""Endpoints for probes and monitoring: live, ready, health and metrics."""

import time

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.http.answers import answer
from api.routes.openapi import HEALTH, LIVE, READY, described
from api.store.gauges import PublishedGauges
from api.store.loader import loader_of

router = APIRouter(tags=["probes"])
NO_STORE = {"Cache-Control": "no-store"}


@router.get("/live", operation_id="live", summary="The process is up", **described(LIVE))
async def live(_: Request) -> Response:
    """Return 200 while the process answers."""
    return answer({"status": "live"}, headers=NO_STORE)


@router.get("/ready", operation_id="ready", summary="A version is loaded", **described(READY))
async def ready(request: Request) -> Response:
    """Return 503 until a version is loaded, then its name."""
    publication = loader_of(request).require()
    return answer({"status": "ready", "version": publication.version}, headers=NO_STORE)


@router.get("/health", operation_id="health", summary="How it is", **described(HEALTH))
async def health(request: Request) -> Response:
    """Return the served version, its age, and why a newer one is refused, if one is."""
    loader = loader_of(request)
    current = loader.current
    status = "not_ready" if current is None else "degraded" if loader.bad else "ok"
    content = {
        "status": status,
        "version": current and current.version,
        "model_version": current and current.model_version,
        "as_of_date": current and current.as_of_date,
        "timezone": current and current.timezone,
        "published_age_seconds": current and round(time.time() - current.published_at, 1),
        "bad_version": loader.bad,
    }
    return answer(content, headers=NO_STORE)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus format."""
    loader = loader_of(request)
    gauges = PublishedGauges(loader.current, loader.bad)
    text = request.app.state.metrics.text(gauges)
    return Response(text, 200, NO_STORE, CONTENT_TYPE_LATEST)
