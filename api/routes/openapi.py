"""The OpenAPI document: fixed parts, plus features and filters of the loaded version."""

import copy
from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from api.http.errors import CONTENT_TYPE
from api.middleware.guard import OPEN
from api.store.features import LARGEST
from api.store.publication import VERSION, Publication, is_whole
from python_jobs.publication import candidate, prediction
from python_jobs.publication.contacts import ACTIONS
from python_jobs.publication.ids import LENGTH

router = APIRouter(include_in_schema=False)
Schema = dict[str, Any]
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
NULLABLE = {"type": ["string", "null"]}
FLAG, COUNT = {"type": "boolean"}, {"type": "integer", "minimum": 0}
NUMBER_OR_NULL = {"type": ["number", "null"]}
DAY = {"type": "string", "format": "date", "examples": ["2025-04-30"]}
TIME = {"type": "string", "format": "date-time", "examples": ["2025-05-01T02:04:05Z"]}
RISK = {"type": "number", "minimum": 0, "maximum": 1, "examples": [0.8731]}
ID = {"type": "string", "minLength": 1, "maxLength": LENGTH, "examples": ["u0000185"]}
REF = "#/components/schemas/"
LISTED_WITH = [name for name in candidate.COLUMNS if name != "left_out_because"]
"""What a row of the list has besides the columns of a prediction."""


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    required = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": required}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return schema | {"type": [schema["type"], "null"]}


def _prediction(columns: Collection[str], more: Collection[str]) -> Schema:
    """Return the schema of a prediction with these columns, and these of a candidate."""
    properties = prediction.json_properties(columns) | {n: candidate.COLUMNS[n] for n in more}
    properties["user_id"] |= ID
    attributes = {"type": "object", "examples": [{"plan": "basic", "country": "DE"}]}
    return _object(properties | {"attributes": attributes, "published_version": TEXT})


_TOLD = prediction.json_properties()
_DRIFT = {"psi": NUMBER_OR_NULL, "status": NULLABLE | {"examples": ["ok"]}}


def _dated(properties: Schema) -> Schema:
    """Return the schema of monitoring rows: a date, these columns, and more."""
    return _list(_object({"as_of_date": DAY, **properties}) | {"additionalProperties": True})


_ROW: Schema = {
    "type": "object",
    "properties": {
        "user_id": {"anyOf": [ID, {"type": "null"}]},
        "features": {"$ref": REF + "Features"},
    },
    "additionalProperties": False,
    "examples": [{"user_id": "u0000185", "features": {"days_since_last_activity": 0}}],
}

SCHEMAS = {
    "Problem": _object(
        {
            "type": TEXT | {"examples": ["urn:churnhouse:problem:unknown-user"]},
            "title": TEXT | {"examples": ["Not Found"]},
            "status": WHOLE | {"examples": [404]},
            "detail": TEXT,
            "instance": TEXT,
            "errors": _list(_object({"in": TEXT, "field": TEXT, "problem": TEXT})),
        },
        ["type", "title", "status", "detail"],
    ),
    "Prediction": _prediction(prediction.NAMES, candidate.COLUMNS),
    "Features": {
        "type": "object",
        "description": "The model's features, by name. Filled in once a version is loaded.",
    },
    "PredictRow": _ROW,
    "PredictRequest": _ROW
    | {
        "properties": _ROW["properties"]
        | {
            "explain": {
                "type": "boolean",
                "default": False,
                "description": "Whether to tell the reasons of features that were never published.",
            },
        },
    },
    "PredictionList": _object(
        {
            "published_version": TEXT,
            "as_of_date": DAY,
            "timezone": TEXT,
            "total": COUNT | {"description": "The users of all pages."},
            "predictions": _list({"$ref": REF + "Prediction"}),
            "next_cursor": NULLABLE,
        }
    ),
    "Predictions": _object(
        {
            "published_version": TEXT,
            "found": _list({"$ref": REF + "Prediction"}),
            "missing": _list(TEXT),
        }
    ),
    "Score": _object(
        {
            "user_id": NULLABLE,
            "churn_risk": RISK,
            "risk_band": {"enum": [*prediction.BANDS, None]},
            "user_value": NUMBER_OR_NULL
            | {"description": "At this risk; null for an unknown user."},
            "expected_loss": NUMBER_OR_NULL | {"description": "churn_risk * user_value."},
            **{name: _or_null(_TOLD[name]) for name in prediction.LISTS},
            "action": _TOLD["action"],
            **candidate.COLUMNS,
            "model_version": TEXT,
            "published_version": TEXT,
            "features_used": {
                "type": "object",
                "additionalProperties": {"type": ["number", "string", "null"]},
            },
        }
    ),
    "Batch": _object(
        {
            "model_version": TEXT,
            "published_version": TEXT,
            "predictions": _list(_object({"user_id": NULLABLE, "churn_risk": RISK})),
        }
    ),
    "Model": _object(
        {
            "model_version": TEXT,
            "estimator": NULLABLE,
            "unjudged": NULLABLE,
            "promoted_at": _or_null(TIME),
            "features": _list(_object({"name": TEXT, "type": TEXT})),
            "metrics": {"type": "object"},
            "published_version": TEXT,
        }
    ),
    "Drift": _object(
        {
            "published_version": TEXT,
            "available": FLAG,
            "features": _dated({"feature": TEXT, **_DRIFT}),
            "predictions": _dated(_DRIFT),
        }
    ),
    "Performance": _object(
        {
            "published_version": TEXT,
            "available": FLAG,
            "dates": _dated({"is_mature": FLAG, "users": COUNT}),
        }
    ),
    "History": _object(
        {
            "user_id": ID,
            "published_version": TEXT,
            "dates": _list(
                _object(
                    {
                        "as_of_date": DAY,
                        "churn_risk": RISK,
                        "risk_band": {"enum": [*prediction.BANDS, None]},
                    }
                )
            ),
        }
    ),
    "Contact": _object(
        {
            "contact_key": TEXT,
            "user_id": ID,
            "treated_at": TIME,
            "action": {"enum": list(ACTIONS)},
            **dict.fromkeys(("campaign", "channel", "outcome", "note", "owner", "by"), NULLABLE),
            "snoozed_until": _or_null(DAY),
            "withdraws": NULLABLE,
        }
    ),
    "ContactList": _object({"user_id": ID, "contacts": _list({"$ref": REF + "Contact"})}),
    "Change": _object(
        {"change": {"enum": ["add", "change", "remove"]}}
        | prediction.json_properties()
        | {name: candidate.COLUMNS[name] for name in LISTED_WITH},
        ["change", "user_id"],
    ),
    "Changes": _object(
        {
            "since": NULLABLE,
            "published_version": TEXT | {"description": "The `since` of your next request."},
            "as_of_date": DAY,
            "counts": _object(dict.fromkeys(("add", "change", "remove"), COUNT)),
            "changes": _list({"$ref": REF + "Change"}),
        }
    ),
    "Live": _object({"status": {"const": "live"}}),
    "Ready": _object({"status": {"const": "ready"}, "version": TEXT}),
    "Health": _object(
        {
            "status": {"enum": ["ok", "degraded", "not_ready"]},
            "version": NULLABLE,
            "model_version": NULLABLE,
            "as_of_date": _or_null(DAY),
            "timezone": NULLABLE,
            "published_age_seconds": {"type": ["number", "null"]},
            "bad_version": {
                "anyOf": [_object({"version": TEXT, "reason": TEXT}), {"type": "null"}]
            },
            "unchecked_seconds": {
                "type": "number",
                "description": "How long ago published/current could last be read.",
            },
            "problems": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "What cannot be checked as it should be: versions, keys, contacts or"
                " sessions, each with what is wrong.",
            },
        }
    ),
}
CONTACT, CONTACT_LIST, HISTORY = "Contact", "ContactList", "History"
CHANGES = "Changes"
SINCE = {
    "name": "since",
    "in": "query",
    "required": False,
    "schema": TEXT | {"pattern": f"^{VERSION.pattern}$"},
    "description": "The published_version that you know. Without it the whole list is new.",
    "example": "2025-04-30-20250501T020405000000Z",
}
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": TEXT | {"minLength": 1, "maxLength": 200},
    "description": "A key of your own: a repeated request then changes nothing.",
}
PREDICTION, PREDICTION_LIST, PREDICTIONS = "Prediction", "PredictionList", "Predictions"
SCORE, BATCH, MODEL, DRIFT, PERFORMANCE = "Score", "Batch", "Model", "Drift", "Performance"
LIVE, READY, HEALTH = "Live", "Ready", "Health"
USER_ID = {"name": "user_id", "in": "path", "required": True, "schema": ID}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "schema": TEXT,
    "description": "The ETag that you have; 304 where nothing has changed.",
}
LOOKUP_BODY = _object(
    {"user_ids": _list(ID) | {"minItems": 1, "maxItems": 1000}},
) | {"additionalProperties": False, "examples": [{"user_ids": ["u0000185", "nobody"]}]}
CONTACT_BODY = _object(
    {
        "user_id": ID,
        "action": {"enum": list(ACTIONS), "default": "contacted"},
        "treated_at": TIME,
        "campaign": {"type": "string", "minLength": 1, "maxLength": 100},
        "channel": {"type": "string", "minLength": 1, "maxLength": 40},
        "outcome": {"type": "string", "minLength": 1, "maxLength": 40},
        "note": {"type": "string", "minLength": 1, "maxLength": 2000},
        "owner": {"type": "string", "minLength": 1, "maxLength": 100},
        "snoozed_until": DAY,
        "withdraws": TEXT
        | {"description": "With action withdrawn: the contact_key of the contact to take back."},
    },
    ["user_id"],
) | {
    "additionalProperties": False,
    "examples": [{"user_id": "u0000185", "campaign": "spring", "channel": "phone"}],
}
PREDICT_BODY = {"$ref": REF + "PredictRequest"}
BATCH_BODY = _object(
    {"rows": _list({"$ref": REF + "PredictRow"}) | {"minItems": 1, "maxItems": 10_000}}
) | {"additionalProperties": False, "examples": [{"rows": [{"user_id": "u0000185"}]}]}
TEXTS = {
    304: "Not changed since the version named in If-None-Match",
    400: "The body is not JSON",
    401: "No key, or none that is known",
    403: "The key's role does not reach this far",
    404: "No such user, or no such contact",
    409: "The Idempotency-Key belongs to another contact",
    410: "The version that the request names is not kept any more",
    413: "The body is too long",
    415: "The body is not application/json",
    422: "The request names what is wrong with it, field by field",
    429: "This key asks too often",
    500: "The request failed",
    503: "No version is loaded yet",
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
EVERYWHERE = (401, 403, 429, 500, 503)


def described(
    schema: str,
    *statuses: int,
    body: Schema | None = None,
    parameters: list[Schema] | None = None,
    done: int = 200,
) -> Schema:
    """Return the documentation of a route as arguments for its decorator."""
    content = {"schema": {"$ref": REF + schema}}
    responses: dict[int, Schema] = {
        status: {"description": "Done", "content": {"application/json": content}}
        for status in {200, done}
    }
    for status in sorted({*statuses, *EVERYWHERE}):
        problem = {CONTENT_TYPE: {"schema": {"$ref": REF + "Problem"}}}
        responses[status] = {"description": TEXTS[status]}
        if status != 304:
            responses[status]["content"] = problem
    extra: Schema = {"parameters": list(parameters or [])}
    if 304 in statuses:
        extra["parameters"].append(IF_NONE_MATCH)
    if body:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return {"response_model": None, "responses": responses, "openapi_extra": extra}


def install(app: FastAPI, routes: list[APIRoute]) -> None:
    """Make the app's document follow the loaded version."""
    cache: dict[str | None, Schema] = {}

    def document() -> Schema:
        current = app.state.loader.current
        version = current.version if current else None
        if version not in cache:
            cache.clear()
            cache[version] = _build(app, routes, current)
        return cache[version]

    app.openapi = document  # type: ignore[method-assign]  # how FastAPI says to replace it


@router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


def _build(app: FastAPI, routes: list[APIRoute], current: Publication | None) -> Schema:
    built = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=routes,
    )
    schemas = copy.deepcopy(SCHEMAS)
    components = built.setdefault("components", {})
    components["schemas"] = schemas
    if app.state.keys:
        components["securitySchemes"] = SECURITY
        for path in built["paths"].keys() - OPEN:
            for operation in built["paths"][path].values():
                operation["security"] = [{scheme: []} for scheme in SECURITY]
    if current:
        schemas["Features"] |= _features(current)
        schemas["Prediction"] = _prediction(current.prediction_columns, current.candidate_columns)
    built["paths"]["/v1/predictions"]["get"]["parameters"] += _filters(current)
    return built


def _features(current: Publication) -> Schema:
    properties: Schema = {}
    for name, kind in current.features.items():
        if name in current.known_values:
            properties[name] = NULLABLE | {
                "description": "An attribute; any value but the examples counts as other.",
                "examples": current.known_values[name],
            }
            continue
        plain = "integer" if is_whole(kind) else "number"
        kinds = [plain, "null"] if name in current.nullable else plain
        properties[name] = {"type": kinds, "minimum": -LARGEST, "maximum": LARGEST}
    return {
        "description": f"The features of model {current.model_version}. Null means not known. "
        "All are required unless user_id is a published user.",
        "properties": properties,
        "additionalProperties": False,
    }


def _filters(current: Publication | None) -> list[Schema]:
    limit = WHOLE | {"minimum": 1, "maximum": 1000, "default": 100}
    limit |= {"description": "Users of one page."}
    schemas: dict[str, Schema] = {
        "limit": limit,
        "cursor": TEXT | {"description": "next_cursor of the page before"},
        "min_risk": RISK | {"description": "The lowest churn_risk."},
        "band": {"enum": list(prediction.BANDS), "description": "One risk band."},
        "eligible": FLAG | {"description": "Only users who are eligible, or only the others."},
        "include": {"enum": ["all"], "description": "Users who are not eligible, too."},
    }
    if current:
        if "in_holdout" in current.prediction_columns:
            schemas["in_holdout"] = FLAG | {"description": "Only the holdout, or all but it."}
        schemas |= {n: TEXT | {"description": "An attribute."} for n in current.choices}
    return [{"name": n, "in": "query", "required": False, "schema": s} for n, s in schemas.items()]
