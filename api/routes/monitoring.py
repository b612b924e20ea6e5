"""What the published version says about its model: facts, drift, realised performance."""

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
    """Version, features, and how it did on dates it had not seen."""
    publication = loader_of(request).require()
    return tagged(request, publication.etag, facts(publication))


@router.get("/drift", operation_id="drift", summary="Drift", **described(DRIFT, 304))
async def drift(request: Request) -> Response:
    """PSI by feature and of the predictions, by date; empty until it is published."""
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
    """One entry a date; what has not matured has expectations only."""
    publication = loader_of(request).require()
    tables = publication.monitoring
    content = {
        "published_version": publication.version,
        "available": "model_performance" in tables,
        "dates": tables.get("model_performance", []),
    }
    return tagged(request, publication.etag, content)


def facts(publication: Publication) -> dict[str, Any]:
    """The model as /v1/model and the desk's model page show it."""
    manifest, metrics = publication.manifest, publication.metrics
    chosen = metrics.get("models", {}).get(metrics.get("selected"), {})
    pooled = chosen.get("folds", {}).get("pooled", chosen.get("pooled", {}))
    summary = manifest.get("model", {})
    return {
        "model_version": publication.model_version,
        "estimator": summary.get("estimator"),
        "promoted_at": summary.get("promoted_at") or manifest.get("promoted_at"),
        "features": [{"name": n, "type": t} for n, t in publication.features.items()],
        "metrics": pooled,
        "published_version": publication.version,
    }
