"""The reference page of the API at /docs, made from the document that /openapi.json gives."""

import json
import re
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup, escape
from starlette.responses import Response

from api.desk.render import TEMPLATES, page, words
from api.middleware.guard import WRITER

router = APIRouter(include_in_schema=False)
Schema = dict[str, Any]
KINDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
    "null": "null",
}
FORMATS = {"date": "date", "date-time": "time in UTC"}
EXAMPLES = {"date": "2025-04-30", "date-time": "2025-05-01T02:04:05Z"}
CODE = re.compile(r"`([^`]+)`")


@router.get("/docs")
async def reference(request: Request) -> Response:
    """Show every route: parameters, body, answer, errors and an example."""
    document = request.app.openapi()
    known = getattr(request.app.state, "reference", None)
    if known is None or known[0] is not document:  # a new version brings a new document
        known = request.app.state.reference = (document, _body(document))
    return page(request, "reference.html", body=known[1])


def _body(document: Schema) -> Markup:
    """Return what the page says of the document; anybody may ask for it, so it is made once."""
    return Markup(
        TEMPLATES.get_template("reference_body.html").render(
            groups=groups(document),
            shapes=shapes(document),
            needs_key="securitySchemes" in document["components"],
        )
    )


def groups(document: Schema) -> dict[str, list[Schema]]:
    """Return the routes of each tag as the page shows them, in the document's order."""
    found: dict[str, list[Schema]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            route = _route(document, path, method.upper(), operation)
            found.setdefault(words(operation["tags"][0]), []).append(route)
    return found


def shapes(document: Schema) -> list[Schema]:
    """Return the named schemas that have fields, by name."""
    return [
        {"name": name, "text": text(schema.get("description", "")), "fields": fields(schema)}
        for name, schema in sorted(document["components"]["schemas"].items())
        if schema.get("properties")
    ]


def _route(document: Schema, path: str, method: str, operation: Schema) -> Schema:
    responses = operation["responses"]
    done = next(status for status in responses if status.startswith("2"))
    answer = responses[done]["content"]["application/json"]["schema"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = body.get("schema")
    role = "writer" if (method, path) in WRITER else "reader"
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "paragraphs": [text(part) for part in operation["description"].split("\n\n")],
        "role": role if operation.get("security") else None,
        "parameters": [_parameter(one) for one in operation.get("parameters", [])],
        "body": fields(_resolved(document, body)) if body else [],
        "curl": _curl(document, path, method, operation, body),
        "status": done,
        "answer": kind(answer),
        "example": _json(example(document, answer)),
        "errors": [(s, text(r["description"])) for s, r in responses.items() if s != done],
    }


def _parameter(parameter: Schema) -> Schema:
    return {
        "name": parameter["name"],
        "kind": kind(parameter["schema"]),
        "where": "" if parameter["in"] == "query" else f"in the {parameter['in']}",
        "is_required": parameter.get("required", False),
        "text": text(parameter.get("description") or parameter["schema"].get("description", "")),
    }


def fields(schema: Schema) -> list[Schema]:
    """Return the fields of an object as the page shows them."""
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "kind": kind(field),
            "where": "",
            "is_required": name in required,
            "text": text(field.get("description", "")),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def kind(schema: Schema) -> Markup:
    """Return what a schema allows, in words; a named schema links to its fields."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return Markup('<a href="#{0}">{0}</a>').format(name)
    if options := schema.get("anyOf"):
        return Markup(" or ").join(map(kind, options))
    if values := schema.get("enum"):
        return Markup(", ").join("null" if value is None else str(value) for value in values)
    if "const" in schema:
        return escape(schema["const"])
    types = schema.get("type", "object")
    types = [types] if isinstance(types, str) else types
    said = Markup(" or ").join(
        FORMATS.get(schema.get("format", ""), KINDS.get(one, one))
        if one == "string"
        else KINDS.get(one, one)
        for one in types
    )
    if "array" in types and "items" in schema:
        said += Markup(" of ") + kind(schema["items"])
    limits = [
        f"{word} {schema[key]:,}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("default", "default"))
        if isinstance(schema.get(key), int)
    ]
    return Markup(", ").join([said, *limits])


def example(document: Schema, schema: Schema) -> Any:
    """Return a value that the schema allows, from its own examples where it has some."""
    schema = _resolved(document, schema)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("example", "const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example(document, schema["anyOf"][0])
    types = schema.get("type", "object")
    first = types if isinstance(types, str) else types[0]
    if first == "object":
        return {n: example(document, one) for n, one in schema.get("properties", {}).items()}
    if first == "array":
        return [example(document, schema["items"])]
    if schema.get("format") in EXAMPLES:
        return EXAMPLES[schema["format"]]
    plain = {"string": "...", "integer": 1, "number": 0.5, "boolean": True}
    return plain.get(first)


def _curl(document: Schema, path: str, method: str, operation: Schema, body: Schema | None) -> str:
    """Return a command that asks this route; $URL and $KEY stand for the reader's own."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = example(document, parameter["schema"])
            path = re.sub(rf"{{{parameter['name']}(:\w+)?}}", value, path)
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}$URL{path}"]
    if operation.get("security"):
        lines.append('-H "Authorization: Bearer $KEY"')
    if body:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d '{json.dumps(example(document, body))}'")
    return " \\\n  ".join(lines)


def _resolved(document: Schema, schema: Schema) -> Schema:
    if name := schema.get("$ref", "").rpartition("/")[2]:
        named: Schema = document["components"]["schemas"][name]
        return named
    return schema


def text(plain: str) -> Markup:
    """Return a text for the page; words between backticks are code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(" ".join(plain.split())))))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
