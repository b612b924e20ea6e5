"""Endpoints for the model's facts, drift and realised performance."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.answers import tagged
from api.routes.openapi import DRIFT, MODEL, PERFORMANCE, described
from api.store.loader import loader_of
from api.store.publication import Publication

router = APIRouter(tags=["model"], prefix="/v1")


@router.get("/model", operation_id="model", summary="The model", **described(MODEL, 304))
async def model(request: Request) -> Response:
    """Return the model's version, its features and its metrics on held-out dates."""
    publication = loader_of(request).require()
    return tagged(request, publication.etag, facts(publication))


@router.get("/drift", operation_id="drift", summary="Drift", **described(DRIFT, 304))
async def drift(request: Request) -> Response:
    """Return PSI of each feature and of the predictions by date; empty until published."""
    publication = loader_of(request).require()
    tables = publication.monitoring
    content = {
        "published_version": publication.version,
        "available": "feature_drift" in tables,
        "features": tables.get("feature_drift", []),
        "predictions": tables.get("prediction_drift", []),
    }
    return tagged(request, publication.etag, content)


@router.get(
    "/performance",
    operation_id="performance",
    summary="Expected and realised performance",
    **described(PERFORMANCE, 304),
)
async def performance(request: Request) -> Response:
    """Return one entry per date; dates whose labels are still open have only expectations."""
    publication = loader_of(request).require()
    tables = publication.monitoring
    content = {
        "published_version": publication.version,
        "available": "model_performance" in tables,
        "dates": tables.get("model_performance", []),
    }
    return tagged(request, publication.etag, content)


def facts(publication: Publication) -> dict[str, Any]:
    """Return the model as /v1/model and the desk's model page show it."""
    manifest, metrics = publication.manifest, publication.metrics
    chosen = metrics.get("models", {}).get(metrics.get("selected"), {})
    pooled = chosen.get("folds", {}).get("pooled", chosen.get("pooled", {}))
    summary = manifest.get("model", {})
    return {
        "model_version": publication.model_version,
        "estimator": summary.get("estimator"),
        "unjudged": summary.get("unjudged"),
        "promoted_at": summary.get("promoted_at") or manifest.get("promoted_at"),
        "features": [{"name": n, "type": t} for n, t in publication.features.items()],
        "metrics": pooled,
        "published_version": publication.version,
    }
