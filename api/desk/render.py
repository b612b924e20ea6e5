"""Templates, their filters and the static files. All are read once, when the app starts."""

import hashlib
import json
import mimetypes
from datetime import date
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from api.desk.glossary import WORDS
from api.desk.sharing import common_action
from api.store.loader import loader_of
from python_jobs.publication.models import in_words

UNKNOWN, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
HERE = Path(__file__).resolve().parent
NAMES = ("display_name", "name")
"""Attributes that name a person, the best first."""

SPARK_DATES = 12
FOREVER = "public, max-age=31536000, immutable"


def words(name: str) -> str:
    """Return a column's name in words: marketing_source is "Marketing source"."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def model_words(estimator: str) -> str:
    """Return a kind of model in words; a simple rule is named as one."""
    return words(in_words(estimator))


def number(value: float | None, digits: int = 2) -> str:
    """Format with at most `digits` decimals and thousands separators; a dash for None."""
    if value is None:
        return UNKNOWN
    if not isinstance(value, float):
        return f"{value:,}"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share: 0.1234 is 12.3 %."""
    return UNKNOWN if value is None else f"{value * 100:z.{digits}f}%".replace("-", MINUS)


def money(value: float | None) -> str:
    """Format an amount in the domain's currency: two digits that count, whole ones from 100 on."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    amount = f"{size:,.0f}" if size >= 99.5 else f"{round(size, 2):.2g}"
    if size >= 1e5:
        amount = f"{size / 1e6:,.1f}M" if size >= 1e6 else f"{size / 1e3:.0f}k"
    return f"{MINUS if value < 0 and amount != '0' else ''}{amount}"


def person(row: dict[str, Any]) -> str:
    """Return a user's name, if the domain has names; else the id."""
    named = (row["attributes"].get(name) for name in NAMES)
    return str(next((name for name in named if name), row["user_id"]))


def spark(history: str | None) -> str | None:
    """Return the points of a line through the newest risks of a JSON history, on 60 by 20."""
    risks = [one["churn_risk"] for one in json.loads(history or "[]")[-SPARK_DATES:]]
    if len(risks) < 2:
        return None
    step = 56 / (len(risks) - 1)
    places = ((2 + n * step, 18 - risk * 16) for n, risk in enumerate(risks))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def by_direction(user: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Split a user's reasons into those that raise the risk and those that lower it.

    Versions of earlier releases do not tell them apart: there all are said to raise it.
    """
    reasons = user["reasons"]
    told = list(zip(reasons, user["effects"] or [None] * len(reasons), strict=False))
    lowering = [text for text, effect in told if effect == "lowers"]
    return [text for text, effect in told if effect != "lowers"], lowering


def term(name: str, shown: str | None = None) -> Markup:
    """Return a word of the glossary as a link to its explanation."""
    word = WORDS[name]
    link = '<a class="term" href="/desk/words#{}" title="{}">{}</a>'
    return Markup(link).format(name, word.meaning, shown or word.shown)


def day(text: str) -> str:
    """Format a date: 2025-04-30 is 30 Apr 2025."""
    return f"{date.fromisoformat(text[:10]):%-d %b %Y}"


def short_day(text: str) -> str:
    """Format a date without its year: 2025-04-30 is 30 Apr."""
    return f"{date.fromisoformat(text[:10]):%-d %b}"


def ago(seconds: float) -> str:
    """Format an age in its largest whole unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def signed(value: float) -> str:
    """Format a change with its sign."""
    return "no change" if not value else f"{'+' if value > 0 else MINUS}{number(abs(value))}"


def measure(metric: dict[str, Any] | None) -> str:
    """Format a metric with three decimals."""
    return UNKNOWN if not metric or metric["value"] is None else f"{metric['value']:.3f}"


def interval(metric: dict[str, Any] | None) -> str:
    """Format a metric's interval; nothing if it has none."""
    if not metric or metric["value"] is None or metric["low"] is None:
        return ""
    return f"{metric['low']:.3f} to {metric['high']:.3f}"


def _files() -> dict[str, tuple[bytes, str, str]]:
    files = {}
    for path in sorted((HERE / "static").rglob("*")):
        if path.is_file() and path.suffix in (".css", ".js", ".svg"):
            content = path.read_bytes()
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            tag = hashlib.sha256(content).hexdigest()[:12]
            files[path.relative_to(HERE / "static").as_posix()] = (content, kind, tag)
    return files


FILES = _files()


def static_url(name: str) -> str:
    """Return the address of a static file; it changes with the content."""
    return f"/desk/static/{name}?v={FILES[name][2]}"


TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
TEMPLATES.filters |= {
    "words": words,
    "model_words": model_words,
    "number": number,
    "percent": percent,
    "day": day,
    "short_day": short_day,
    "ago": ago,
    "money": money,
    "person": person,
    "spark": spark,
    "by_direction": by_direction,
    "common_action": common_action,
    "signed": signed,
    "measure": measure,
    "interval": interval,
}
TEMPLATES.globals["static"] = static_url
TEMPLATES.globals["term"] = term
TEMPLATES.globals["pairs"] = lambda values: [(value, value) for value in sorted(values)]


def page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Render a page with what all pages show: the version, and any refused newer version."""
    loader = loader_of(request)
    who, is_open = request.scope.get("key"), request.app.state.keys is None
    context |= {
        "publication": context.get("publication") or loader.current,
        "bad_version": loader.bad,
        "path": request.url.path,
        "who": who,
        "is_inside": is_open or who is not None,
        "may_record": is_open or request.scope.get("role") == "writer",
    }
    content = TEMPLATES.get_template(template).render(**context)
    return Response(content, status, {"Cache-Control": "private, no-store"}, "text/html")


def static_file(name: str) -> Response | None:
    """Return a static file that was read at start; no other path can be reached."""
    if name not in FILES:
        return None
    content, kind, tag = FILES[name]
    return Response(content, 200, {"Cache-Control": FOREVER, "ETag": f'"{tag}"'}, kind)
