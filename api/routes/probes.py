"""Endpoints for probes and monitoring: live, ready, health and metrics."""

import time

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.http.answers import answer
from api.routes.openapi import HEALTH, LIVE, READY, described
from api.store.gauges import PublishedGauges
from api.store.loader import loader_of
from api.store.watch import Watch

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
    """Return the served version, its age, why a newer one is refused, what cannot be checked."""
    loader, problems = loader_of(request), request.app.state.watch.failing()
    current = loader.current
    is_degraded = bool(loader.bad or problems)
    status = "not_ready" if current is None else "degraded" if is_degraded else "ok"
    content = {
        "status": status,
        "version": current and current.version,
        "model_version": current and current.model_version,
        "as_of_date": current and current.as_of_date,
        "timezone": current and current.timezone,
        "published_age_seconds": current and round(time.time() - current.published_at, 1),
        "bad_version": loader.bad,
        "unchecked_seconds": round(loader.unchecked_seconds(), 1),
        "problems": problems,
    }
    return answer(content, headers=NO_STORE)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus format."""
    loader = loader_of(request)
    watch: Watch = request.app.state.watch
    gauges = PublishedGauges(loader.current, loader.bad, watch.problems, loader.unchecked_seconds())
    text = request.app.state.metrics.text(gauges)
    return Response(text, 200, NO_STORE, CONTENT_TYPE_LATEST)
