"""Domains: the data and settings of one kind of business, read from one folder and checked.

`domain.yml` says where the raw files are, which columns they have and what is measured;
`ingest.sql` maps them to raw.users and raw.events. Defaults are in dbt_project.yml.
Your own folders are in CHURNHOUSE_DOMAINS, the shipped ones beside the dbt project.
"""

import csv
import filecmp
import hashlib
import json
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from python_jobs.errors import JobError
from python_jobs.files import text_of
from python_jobs.ingest.schema import DomainFile, Vars, guess, plain_path
from python_jobs.ingest.sources import Files, RawFiles
from python_jobs.settings import PROJECT, Settings

RESTORE = "restore the file."
SHIPPED = PROJECT / "domains"
FILES = ("domain.yml", "ingest.sql")


BUILDS_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("models", "model_attributes", "verb", "actions"), True),
    "measures": {"__all__": {"label", "unit"}},
    "ratios": {"__all__": {"label"}},
}
"""Settings on which no table depends but those of scoring."""

OF_LISTS = (
    *("value", "user_value", "list", "top_k"),
    *("save_rate", "offer_cost", "holdout_share"),
)
"""Settings on which only tables depend that every build writes anew."""

GROUPS = {"value", "list"}
"""Settings of several parts, each with a default of its own."""


class _Problem(yaml.YAMLError):
    """Legal YAML that plain YAML would read otherwise than it was meant."""


class _Careful(yaml.SafeLoader):
    """YAML loader that raises _Problem for a repeated key, and for one that is read as a switch."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:bool":
                raise _Problem(
                    f"line {line}: YAML reads the key {name} as true or false; "
                    f'write it in quotes, "{name}"'
                )
            if name in lines:
                raise _Problem(
                    f"the key {name!r} is given twice, in lines {lines[name]} and {line}"
                )
            lines[name] = line
        return node


class Domain:
    """One domain, checked: `files`, `vars` (defaults filled in) and the text of ingest.sql.

    `environment` replaces settings of domain.yml; of a setting with several parts, the parts given.
    """

    def __init__(self, name: str, folder: Path, environment: dict[str, Any] | None = None) -> None:
        self.name = name
        self.folder = folder
        self._where = folder / "domain.yml"
        text = text_of(self._where, next_step=RESTORE)
        try:
            content = yaml.load(text, _Careful)
            self._lines = _lines(yaml.compose(text, yaml.SafeLoader))
        except _Problem as error:
            raise JobError(
                f"{self._where}: {error}.", next_step="correct it and run again."
            ) from None
        except (ValueError, RecursionError) as error:
            raise JobError(
                f"{self._where} cannot be read: {error}.", next_step="correct it and run again."
            ) from None
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise JobError(
                f"{self._where} is not YAML: {line}.", next_step="correct it and run again."
            ) from None
        parsed = self._check(DomainFile, _merged(content if isinstance(content, dict) else {}))
        self.files: Files = parsed.files
        self.vars: Vars = self._check(Vars, _with_defaults(parsed.vars), under="vars")
        if environment:  # domain.yml is right by itself, so what fails now is the environment
            self._where, self._lines = Path("CHURNHOUSE_VARS"), {}
            self.vars = self._check(Vars, _with_defaults(_replaced(parsed.vars, environment)))
        if not self.files.users and not self.vars.users_from_events:
            raise JobError(
                f"{self._where} names no users.",
                next_step="add `users_from_events: true` to vars, or users to files.",
            )
        self._mappings = {
            source.mapping: text_of(folder / source.mapping, next_step=RESTORE)
            for sources in self.files.by_table().values()
            for source in sources
        }

    def mapping(self, source: RawFiles) -> str:
        """Return the SQL that maps a source to the canonical tables."""
        return self._mappings[source.mapping]

    def _check(self, model: type[BaseModel], content: dict[str, Any], under: str = "") -> Any:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            # report a misspelt key first: it is why another key is missing
            first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
            keys = [under] if under else []
            keys += plain_path(first["loc"], content)
            path, line = ".".join(keys), self._lines.get(tuple(keys))
            if first["type"] == "extra_forbidden":
                what = f"unknown key {path!r}{_closest(first['loc'], model)}"
            else:
                what = f"{path or 'the file'}: {first['msg'].removeprefix('Value error, ')}"
            where = f" (line {line})" if line else ""
            raise JobError(
                f"{self._where}: {what}{where}.",
                next_step=f"correct {self._where.name} and run again.",
            ) from None

    @property
    def note(self) -> str | None:
        """Return a note if this domain replaces a shipped one of the same name; else None."""
        shipped = SHIPPED / self.name
        if not shipped.is_dir() or not filecmp.cmpfiles(self.folder, shipped, FILES, False)[1]:
            return None
        return f"domain {self.name} is read from {self.folder}, not the shipped one of that name"

    @cached_property
    def settings_json(self) -> str:
        """Return the settings that the warehouse stores for the dbt macros, as JSON.

        Those of training alone, and words, are not in it.
        """
        return self._recorded(without=BUILDS_NOTHING)

    @cached_property
    def built_with_json(self) -> str:
        """Return the settings on which incremental tables depend, as JSON.

        A change of these settings, event types or product version changes this text, and the next
        build then starts from scratch.
        """
        return self._recorded(without=BUILDS_NOTHING | dict.fromkeys(OF_LISTS, True))

    def _recorded(self, *, without: dict[str, Any]) -> str:
        built_with = {
            "domain": self.name,
            "product_version": version("churnhouse"),
            "has_identities": bool(self.files.identities),
        }
        for seed in ("event_types", "placeholder_ids"):
            text = text_of(PROJECT / f"seeds/{seed}.csv", next_step=RESTORE)
            built_with[f"{seed}_sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return json.dumps(
            built_with | self.vars.model_dump(mode="json", exclude_none=True, exclude=without),
            sort_keys=True,
        )


def load(name: str, settings: Settings) -> Domain:
    """Read and check one domain. Raises JobError naming the file and the key."""
    known = available(settings)
    if name not in known:
        raise JobError(
            f"There is no domain {name!r}{guess(name, list(known))} "
            f"in {settings.domains} or among the shipped ones in {SHIPPED}.",
            next_step=f"choose one of {', '.join(known)}, or add {settings.domains / name}/"
            f" with {' and '.join(FILES)}.",
        )
    return Domain(name, known[name], settings.vars)


def available(settings: Settings) -> dict[str, Path]:
    """Return the folder of every domain by name, sorted. Your own replace shipped ones."""
    if "domains" in settings.model_fields_set and not settings.domains.is_dir():
        raise JobError(
            f"CHURNHOUSE_DOMAINS={settings.domains} is not a folder.",
            next_step="correct it, or unset it to use ./domains and the shipped ones.",
        )
    files = [*SHIPPED.glob("*/domain.yml"), *settings.domains.glob("*/domain.yml")]
    folders = {file.parent.name: file.parent for file in files}  # the later one wins
    return dict(sorted(folders.items()))


def default_vars() -> dict[str, Any]:
    """Return the settings that domains share, from dbt_project.yml."""
    text = text_of(PROJECT / "dbt_project.yml", next_step=RESTORE)
    vars_: dict[str, Any] = yaml.safe_load(text)["vars"]
    return vars_


def _with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Return a domain's settings with the defaults of those it does not give."""
    vars_ = default_vars() | given
    for name in GROUPS & given.keys():
        if isinstance(given[name], dict):
            vars_[name] = default_vars()[name] | given[name]
    return vars_


def _replaced(given: dict[str, Any], by: dict[str, Any]) -> dict[str, Any]:
    """Return a domain's settings with those of an environment; groups are replaced part by part."""
    parts = {
        name: {**given[name], **value}
        for name, value in by.items()
        if isinstance(value, dict) and isinstance(given.get(name), dict)
    }
    return given | by | parts


def _merged(content: dict[str, Any]) -> dict[str, Any]:
    """Return the file's content as files and vars alone.

    The sources of `source`, and `identities`, belong to files; settings may be at the top too.
    """
    files, vars_ = content.get("files"), content.get("vars")
    others = content.get("source") or {}
    if "identities" in content and isinstance(others, dict):
        others = {**others, "identities": content["identities"]}
    settings = {key: content[key] for key in content if key in Vars.model_fields}
    if isinstance(vars_, dict) and (twice := sorted(settings.keys() & vars_.keys())):
        raise JobError(
            f"{twice[0]!r} is given at the top of domain.yml and under vars.",
            next_step="keep one of them and run again.",
        )
    if settings and isinstance(vars_ or {}, dict):
        vars_ = {**(vars_ or {}), **settings}
    rest = {"source", "identities", *settings} & content.keys()
    if not rest or not isinstance(others, dict) or not isinstance(files or {}, dict):
        return content
    files = dict(files or {})
    for table, sources in others.items():
        listed = [files[table]] if isinstance(files.get(table), dict) else files.get(table, [])
        files[table] = [*listed, *(sources if isinstance(sources, list) else [sources])]
    kept = {key: value for key, value in content.items() if key not in rest}
    return {**kept, "files": files, "vars": vars_}


def _lines(node: yaml.Node | None, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Return the line of every key of a YAML tree, by the keys that lead there."""
    lines: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(n), value, value) for n, value in enumerate(node.value)]
    else:
        return lines
    for name, key, value in pairs:
        lines[*path, name] = key.start_mark.line + 1
        lines |= _lines(value, (*path, name))
    return lines


@cache
def placeholder_ids() -> list[str]:
    """Return the ids of seeds/placeholder_ids.csv, which name nobody, and null."""
    text = text_of(PROJECT / "seeds/placeholder_ids.csv", next_step=RESTORE)
    rows = csv.DictReader(text.splitlines())
    return ["null", *(row["placeholder_id"] for row in rows)]


def _closest(loc: tuple[Any, ...], model: type[BaseModel]) -> str:
    """Return the allowed key that is closest to the one at `loc`, as a hint for the message."""
    for part in loc[:-1]:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        nested = [
            candidate
            for candidate in (annotation, *getattr(annotation, "__args__", ()))
            if isinstance(candidate, type) and issubclass(candidate, BaseModel)
        ]
        model = nested[0] if nested else model
    return guess(str(loc[-1]), list(model.model_fields))
