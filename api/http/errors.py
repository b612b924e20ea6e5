"""Every error is RFC 9457 problem+json. None contains the text of an exception."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

CONTENT_TYPE = "application/problem+json"
TITLES = {413: "Body Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


class Problem(Exception):
    """An error answer: a status, a short name, a sentence and extra members."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.status, self.name, self.detail = status, name, detail
        self.headers, self.members = headers or {}, members

    def response(self, request_id: str = "") -> Response:
        """Return the problem document as a response."""
        content = {
            "type": f"urn:churnhouse:problem:{self.name}",
            "title": TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if request_id:
            content["instance"] = f"urn:churnhouse:request:{request_id}"
        body = json.dumps(content | self.members)
        headers = {"Cache-Control": "no-store"} | dict(self.headers)
        return Response(body, self.status, headers, CONTENT_TYPE)


def invalid(detail: str, errors: list[dict[str, str]] | None = None) -> Problem:
    """Return a 422 that names each field and what is wrong with it."""
    return Problem(422, "invalid-request", detail, errors=errors or [])


def error(where: str, field: str, problem: str) -> dict[str, str]:
    """Return one entry of a 422's `errors`."""
    return {"in": where, "field": field, "problem": problem}


def not_ready() -> Problem:
    """Return the 503 for a server without a loaded version."""
    return Problem(
        503,
        "not-ready",
        "No published version is loaded yet.",
        headers={"Retry-After": "2"},
    )


def unknown_user() -> Problem:
    """Return the 404 for a user who is not in the published version."""
    return Problem(404, "unknown-user", "The published version has no user with this id.")


def failed() -> Problem:
    """Return a 500 without details; the log has them under the same request id."""
    return Problem(500, "internal-error", "The request failed. The log has it under this id.")


def install(app: FastAPI) -> None:
    """Make the app answer every error, also its framework's, as a problem."""
    app.exception_handler(Problem)(_problem)
    app.exception_handler(HTTPException)(_of_framework)
    app.exception_handler(RequestValidationError)(_of_validation)


async def _problem(request: Request, problem: Problem) -> Response:
    return problem.response(request.scope.get("request_id", ""))


async def _of_framework(request: Request, raised: HTTPException) -> Response:
    names = {404: ("no-such-page", "There is nothing at this address.")}
    names[405] = ("method-not-allowed", "This address does not take this method.")
    name, detail = names.get(raised.status_code, ("refused", "The request cannot be answered."))
    problem = Problem(raised.status_code, name, detail, headers=raised.headers or {})
    return await _problem(request, problem)


async def _of_validation(request: Request, raised: RequestValidationError) -> Response:
    errors = [
        error(str(e["loc"][0]), ".".join(map(str, e["loc"][1:])), e["msg"]) for e in raised.errors()
    ]
    return await _problem(request, invalid("The request is not valid.", errors))
