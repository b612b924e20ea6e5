"""Write the reference of domain.yml, docs/domain-reference.md, and its JSON Schema.

python -m python_jobs.ingest.reference docs
"""

import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from python_jobs.ingest.schema import (
    CallList,
    Check,
    DomainFile,
    EventType,
    Measure,
    Models,
    Ratio,
    Value,
    Vars,
)
from python_jobs.ingest.sources import Column, Files, RawFiles
from python_jobs.settings import PROJECT

SECTIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("files", Files, "The sources of each table: one, or a list of them."),
    ("files.<table>", RawFiles, "A source: files below the raw folder, or a query."),
    ("files.<table>.columns.<name>", Column, "A column of the files, by the name it has there."),
    ("vars", Vars, "The settings; a domain holds only what differs from the default."),
    ("vars.value", Value, "What a user who stays is worth; by default user_value."),
    (
        "vars.list",
        CallList,
        "Whom to act on: churn_top_risk, its files, the desk's first page.",
    ),
    ("vars.models", Models, "How models are made and replaced; no build follows a change."),
    ("vars.measures", Measure, "A list: what is measured per user and day."),
    ("vars.ratios", Ratio, "A list: shares over the longest feature window."),
    ("vars.checks.<column>", Check, "Checks of a measured column or an attribute."),
    ("vars.event_types.<type>", EventType, "What an event type says about a user."),
)


def markdown() -> str:
    """Return the reference as Markdown, one table for each part of domain.yml."""
    lines = [
        "# Every key of domain.yml",
        "",
        "Made by `make reference` from python_jobs/ingest/sources.py and schema.py. The keys of",
        "vars may also be at the top of the file. Editors complete keys with",
        "docs/domain.schema.json: put this line first, with the path from there:",
        "`# yaml-language-server: $schema=docs/domain.schema.json`.",
        "",
    ]
    for title, model, about in SECTIONS:
        lines += [f"## {title}", "", about, "", "| key | type | default | meaning |"]
        lines.append("|---|---|---|---|")
        for name, info in model.model_fields.items():
            kind, default = _type(info.annotation), _default(model, name, info)
            cells = [f"`{name}`", kind, default, _meaning(info)]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def json_schema() -> str:
    """Return the JSON Schema of domain.yml, as text."""
    schema = DomainFile.model_json_schema()
    settings = Vars.model_json_schema()
    settings.pop("required", None)  # defaults are in dbt_project.yml
    for group in ("Value", "CallList"):
        settings["$defs"][group].pop("required", None)
    schema.setdefault("$defs", {}).update(settings.pop("$defs", {}))
    schema["properties"]["vars"] = settings
    schema["properties"] |= settings["properties"]
    schema["properties"]["identities"] = schema["$defs"]["Files"]["properties"]["identities"]
    schema["properties"]["source"] = {**schema["$defs"]["Files"], "required": []}
    schema["required"] = ["files"]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _type(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(one) for one in inner if one is not NoneType))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[1])} by name"
    names = {"str": "text", "int": "number", "float": "number", "bool": "true or false"}
    return names.get(kind.__name__, str(kind.__name__))


def _default(model: type[BaseModel], name: str, info: FieldInfo) -> str:
    if model in (Vars, Value, CallList):
        text = (PROJECT / "dbt_project.yml").read_text(encoding="utf-8")
        group = {Value: "value", CallList: "list"}.get(model)
        vars_ = yaml.safe_load(text)["vars"]
        return f"`{json.dumps((vars_[group] if group else vars_).get(name))}`"
    return "required" if info.is_required() else f"`{json.dumps(info.default)}`"


def _meaning(info: FieldInfo) -> str:
    examples = ", ".join(f"`{example}`" for example in info.examples or [])
    return (info.description or "") + (f" For example {examples}." if examples else "")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "domain-reference.md").write_text(markdown(), encoding="utf-8")
    (folder / "domain.schema.json").write_text(json_schema(), encoding="utf-8")
