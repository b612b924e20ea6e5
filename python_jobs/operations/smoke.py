"""Ask a running API what a person would ask after a deployment, and say what is wrong."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from python_jobs.errors import JobError
from python_jobs.settings import is_loopback

TIMEOUT = 10.0
LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that are read."""


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body as an object; {} if it is none."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class Check:
    """What was asked, and what is wrong; None if nothing is."""

    name: str
    problem: str | None


class _NoRedirect(HTTPRedirectHandler):
    """Answers are judged as they come: a redirect might send the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    """A running API under an address, asked with or without a key."""

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise JobError(
                f"{url!r} is not the address of an API.",
                next_step="give it like https://churnhouse.example.com.",
            )
        if key and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise JobError(
                f"A key would be sent to {parts.hostname} unencrypted.",
                next_step="use https, or leave the key out.",
            )
        self.url = url.rstrip("/")
        self.has_key = key is not None
        self._key = key
        self._open = build_opener(_NoRedirect).open

    def get(self, path: str, *, signed: bool = False) -> Answer:
        """Return the answer, whatever its status. Raises JobError if none comes."""
        request = Request(self.url + path)
        if signed and self._key:
            request.add_header("X-API-Key", self._key)
        try:
            with self._open(request, timeout=TIMEOUT) as answer:
                return _read(answer)
        except HTTPError as refusal:
            with refusal:
                return _read(refusal)
        except (OSError, HTTPException) as error:
            raise JobError(
                f"{self.url}{path} did not answer: {error}.",
                next_step="see that the API runs and that this machine may reach it.",
            ) from None


def _read(answer: Any) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, headers, answer.read(LARGEST))


def run(api: Api, *, version: str | None, max_age_hours: float) -> Iterator[Check]:
    """Yield one check after the other.

    `version`: the published version that must be served, if one is given. `max_age_hours`: how old
    the served version may be.
    """
    yield Check("it is up (/live)", _status(api.get("/live"), 200))
    yield Check("a version is loaded (/ready)", _status(api.get("/ready"), 200))
    health = api.get("/health")
    yield Check("it is well (/health)", _unwell(health, version, max_age_hours))
    strangers = api.get("/v1/predictions?limit=1")
    if api.has_key or strangers.status != 200:
        yield Check("strangers are refused (/v1/predictions)", _status(strangers, 401))
        yield Check("metrics are for operators (/metrics)", _status(api.get("/metrics"), 401))
    if api.has_key or strangers.status == 200:
        yield from _of_predictions(api, health.json().get("version"))
    desk = api.get("/desk")
    if desk.status in (302, 303, 307):  # to the page for signing in
        desk = api.get("/" + urlsplit(desk.headers.get("location", "")).path.lstrip("/"))
    yield Check("the desk answers (/desk)", _status(desk, 200) or _policy(desk))


def _of_predictions(api: Api, served: str | None) -> Iterator[Check]:
    answer = api.get("/v1/predictions?limit=1", signed=True)
    content = answer.json()
    rows = content.get("predictions") or []
    problem = _status(answer, 200)
    if not problem and not rows:
        problem = "nobody is on it"
    elif not problem and content.get("published_version") != served:
        problem = f"it is of version {content.get('published_version')}, /health says {served}"
    yield Check("the list has users (/v1/predictions)", problem)
    if rows:
        user = str(rows[0].get("user_id"))
        one = api.get(f"/v1/predictions/{quote(user, safe='')}", signed=True)
        yield Check("a listed user is found", _status(one, 200) or _other_risk(one.json(), rows[0]))
    nobody = api.get("/v1/predictions/churnhouse-smoke-nobody", signed=True)
    kind = nobody.headers.get("content-type", "")
    problem = _status(nobody, 404)
    if not problem and not kind.startswith("application/problem+json"):
        problem = f"the error is {kind or 'untyped'}, not application/problem+json"
    yield Check("an unknown user is a problem of its own", problem)


def _status(answer: Answer, *wanted: int) -> str | None:
    if answer.status in wanted:
        return None
    title = answer.json().get("title")
    said = f" ({title})" if isinstance(title, str) else ""
    return f"status {answer.status}{said}, expected {' or '.join(map(str, wanted))}"


def _unwell(answer: Answer, version: str | None, max_age_hours: float) -> str | None:
    if problem := _status(answer, 200):
        return problem
    health = answer.json()
    if health.get("status") != "ok":
        bad = health.get("bad_version")
        refused = f", refused: {bad.get('version')}" if isinstance(bad, dict) else ""
        return f"status is {health.get('status')}{refused}"
    if version and health.get("version") != version:
        return f"version {health.get('version')} is served, expected {version}"
    age = health.get("published_age_seconds")
    if not isinstance(age, int | float) or age > max_age_hours * 3600:
        hours = f"{age / 3600:.1f} hours" if isinstance(age, int | float) else "of unknown age"
        return f"the served version is {hours} old, allowed are {max_age_hours:g}"
    return None


def _other_risk(one: dict[str, Any], listed: dict[str, Any]) -> str | None:
    if one.get("churn_risk") == listed.get("churn_risk"):
        return None
    return f"risk {one.get('churn_risk')} alone, {listed.get('churn_risk')} in the list"


def _policy(answer: Answer) -> str | None:
    policy = answer.headers.get("content-security-policy", "")
    if re.search(r"default-src 'none'|default-src 'self'", policy):
        return None
    return "no Content-Security-Policy came with it"
