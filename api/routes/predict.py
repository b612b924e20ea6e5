"""Endpoints that score on request with the published model."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import logs
from api.http.answers import answer
from api.http.body import KIB, MIB, check_type, parse, read_object, reading
from api.http.errors import error, invalid
from api.routes.openapi import BATCH, BATCH_BODY, PREDICT_BODY, SCORE, described
from api.store import what_if
from api.store.features import MAX_ERRORS, vector
from api.store.loader import loader_of
from api.store.publication import Publication
from python_jobs.publication import prediction
from python_jobs.publication.ids import LENGTH, is_id

router = APIRouter(tags=["predict"])
MAX_ROWS = 10_000
MAX_BODY = 24 * MIB
ROWS_AT_ONCE = 200
"""A batch is worked off in steps of this many rows; other requests are served in between."""

VALUES_BESIDE = 50
"""What a row may hold beside its features, as api.http.body counts: two objects, an id, spare."""

FIELDS = {"user_id", "features"}
CONTRADICTION = "features.*"
"""The field of an error about several features together."""


@router.post("/predict", include_in_schema=False, response_model=None)
@router.post(
    "/v1/predict",
    operation_id="predict",
    summary="Score one user now",
    **described(SCORE, 400, 413, 415, 422, body=PREDICT_BODY),
)
async def predict(request: Request) -> Response:
    """Return the model's churn risk for these features; /predict is the same.

    For a known user, missing features come from the published row, so "what if" needs one number.
    For an unknown user, or without a user_id, every feature is required. Features that nobody can
    have together are refused with the contradiction, such as 0 days of silence without activity.
    Value, loss and gain of a known user follow the risk; the place on the list is that of the
    published row, null where a feature differs. So are the reasons, unless `explain` asks for those
    of these features.
    """
    content = await read_object(request, 64 * KIB)
    publication = loader_of(request).require()
    explain = content.pop("explain", False)
    values, published, errors = _values(publication, content)
    if not isinstance(explain, bool):
        problem = error("body", "explain", "must be true or false")
        raise invalid("Say whether to explain.", [problem, *errors])
    if [entry["field"] for entry in errors] == [CONTRADICTION]:
        raise invalid(f"Nobody can have these features: {errors[0]['problem']}", errors)
    if errors:
        raise invalid(_what_is_wrong(content, published), errors)
    (risk,) = publication.score([values])
    user_id = content.get("user_id")
    _audit(request, publication, [[user_id, risk]])
    request.app.state.metrics.single.inc()
    return answer(
        {
            "user_id": user_id,
            "churn_risk": risk,
            **_told(publication, user_id if published else None, risk, values, published, explain),
            "model_version": publication.model_version,
            "published_version": publication.version,
            "features_used": dict(zip(publication.features, values, strict=True)),
        }
    )


@router.post("/predict/batch", include_in_schema=False, response_model=None)
@router.post(
    "/v1/predict/batch",
    operation_id="predict_batch",
    summary="Score up to 10,000 rows now",
    **described(BATCH, 400, 413, 415, 422, body=BATCH_BODY),
)
async def predict_batch(request: Request) -> Response:
    """Score rows like /v1/predict, in the order given. One bad row refuses the batch.

    /predict/batch is the same.
    """
    check_type(request)
    publication = loader_of(request).require()
    most = MAX_ROWS * (len(publication.features) + VALUES_BESIDE)
    async with reading(request, MAX_BODY, most) as body, request.app.state.one_batch:
        content = await parse(body)
        return await _score_rows(request, publication, content)


async def _score_rows(
    request: Request, publication: Publication, content: dict[str, Any]
) -> Response:
    rows = content.get("rows")
    if not isinstance(rows, list) or len(content) > 1 or not 0 < len(rows) <= MAX_ROWS:
        problem = error("body", "rows", f"a list of 1 to {MAX_ROWS:,} rows, and nothing else")
        raise invalid("Send rows.", [problem])
    scored, errors = [], []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        vectors = []
        for number, row in enumerate(rows[start : start + ROWS_AT_ONCE], start):
            values, _, row_errors = _values(publication, row)
            vectors.append(values)
            errors += [e | {"field": f"rows.{number}.{e['field']}"} for e in row_errors]
            if len(errors) >= MAX_ERRORS:
                break
        if len(errors) >= MAX_ERRORS:
            break
        if not errors:
            risks = publication.score(vectors)
            ids = (row.get("user_id") for row in rows[start : start + ROWS_AT_ONCE])
            scored += [[user_id, risk] for user_id, risk in zip(ids, risks, strict=True)]
        await asyncio.sleep(0)
    if errors:
        raise invalid("Some rows are not as the model needs them.", errors[:MAX_ERRORS])
    _audit(request, publication, scored)
    request.app.state.metrics.batch.inc(len(scored))
    return answer(
        {
            "model_version": publication.model_version,
            "published_version": publication.version,
            "predictions": [{"user_id": user, "churn_risk": risk} for user, risk in scored],
        }
    )


def _what_is_wrong(content: dict[str, Any], published: tuple[Any, ...] | None) -> str:
    if is_id(content.get("user_id")) and published is None:
        return "No published user has this id, so every feature is required."
    return "The features are not those of the model."


def _told(
    publication: Publication,
    user_id: str | None,
    risk: float,
    values: list[Any] | tuple[Any, ...],
    published: tuple[Any, ...] | None,
    explain: bool,
) -> dict[str, Any]:
    """Return what follows from a risk, with the reasons of published values or if asked for."""
    row = publication.prediction(user_id) if user_id is not None else None
    values = tuple(values)
    told = row if row and values == published else {}
    if explain and not told:
        told = publication.explain(values, risk)
    reasons = {name: told.get(name) for name in (*prediction.LISTS, "action")}
    return what_if.follows(publication, risk, values, row, published) | reasons


def _values(
    publication: Publication, row: object
) -> tuple[list[Any] | tuple[Any, ...], tuple[Any, ...] | None, list[dict[str, str]]]:
    """Return the model's input for one row, the published input of its user, and its errors."""
    if not isinstance(row, dict):
        return [], None, [error("body", "row", "must be an object")]
    unknown = (name for name in row if name not in FIELDS)
    errors = [error("body", name, "unknown field") for name in islice(unknown, MAX_ERRORS)]
    features, user_id = row.get("features", {}), row.get("user_id")
    if user_id is not None and not is_id(user_id):
        errors.append(error("body", "user_id", f"must be a text of 1 to {LENGTH} characters"))
        user_id = None
    published = publication.user_features(user_id) if user_id is not None else None
    if not isinstance(features, dict):
        return [], published, [*errors, error("body", "features", "must be an object")]
    values, feature_errors = vector(publication, features, published)
    if not errors and not feature_errors and features:
        contradiction = _contradiction(publication, values)
        # a published row is as it is, and what is sent may leave it so
        if contradiction and (published is None or not _contradiction(publication, published)):
            feature_errors = [error("body", CONTRADICTION, contradiction)]
    return values, published, errors + feature_errors


def _contradiction(publication: Publication, values: Sequence[Any]) -> str | None:
    return publication.contradictions.first(values)


def _audit(request: Request, publication: Publication, scored: list[list[Any]]) -> None:
    """Log who was told what, before the answer leaves."""
    logs.line(
        "prediction",
        id=request.scope.get("request_id"),
        key=request.scope.get("key"),
        model_version=publication.model_version,
        published_version=publication.version,
        predictions=scored,
    )
