"""Templates, their filters and the static files. All are read once, when the app starts."""

import hashlib
import mimetypes
from datetime import date
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from api.store.loader import loader_of
from python_jobs.publication.models import in_words

UNKNOWN, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
HERE = Path(__file__).resolve().parent
FOREVER = "public, max-age=31536000, immutable"


def words(name: str) -> str:
    """Return a column's name in words: marketing_source is "Marketing source"."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]


def model_words(estimator: str) -> str:
    """Return a kind of model in words; a simple rule is named as one."""
    return words(in_words(estimator))


def number(value: float | None) -> str:
    """Format with at most two decimals and thousands separators; a dash for None."""
    if value is None:
        return UNKNOWN
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"


def percent(value: float | None, digits: int = 1) -> str:
    """Format a share: 0.1234 is 12.3 %."""
    return UNKNOWN if value is None else f"{value * 100:.{digits}f}%"


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
    """Format a metric, with its interval if it has one."""
    if not metric or metric["value"] is None:
        return UNKNOWN
    interval = "" if metric["low"] is None else f" ({metric['low']:.3f} to {metric['high']:.3f})"
    return f"{metric['value']:.3f}{interval}"


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
    "signed": signed,
    "measure": measure,
}
TEMPLATES.globals["static"] = static_url
TEMPLATES.globals["pairs"] = lambda values: [(value, value) for value in sorted(values)]


def page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    """Render a page with what all pages show: the version, and any refused newer version."""
    loader = loader_of(request)
    context |= {
        "publication": context.get("publication") or loader.current,
        "bad_version": loader.bad,
        "path": request.url.path,
        "who": request.scope.get("key"),
    }
    content = TEMPLATES.get_template(template).render(**context)
    return Response(content, status, {"Cache-Control": "private, no-store"}, "text/html")


def static_file(name: str) -> Response | None:
    """Return a static file that was read at start; no other path can be reached."""
    if name not in FILES:
        return None
    content, kind, tag = FILES[name]
    return Response(content, 200, {"Cache-Control": FOREVER, "ETag": f'"{tag}"'}, kind)
