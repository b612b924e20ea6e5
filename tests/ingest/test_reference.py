"""The reference of domain.yml holds every key, and is the one that the code makes."""

import json

import jsonschema
import pytest
import yaml
from support.homes import PROJECT

from python_jobs.ingest import reference
from python_jobs.ingest.schema import Measure, Vars
from python_jobs.ingest.sources import Column, Files, RawFiles


def test_reference_and_schema_are_those_of_the_code():
    """If not: `make reference`."""
    assert (PROJECT / "docs/domain-reference.md").read_text() == reference.markdown()
    assert (PROJECT / "docs/domain.schema.json").read_text() == reference.json_schema()


@pytest.mark.parametrize("model", [Vars, RawFiles, Column, Measure, Files])
def test_every_key_has_a_meaning(model):
    assert [name for name, info in model.model_fields.items() if not info.description] == []


@pytest.mark.parametrize("name", ["elearning", "online_retail", "git_history"])
def test_shipped_domains_are_valid_by_the_json_schema(name):
    content = yaml.safe_load((PROJECT / f"domains/{name}/domain.yml").read_text())
    text = json.loads(json.dumps(content, default=str))
    jsonschema.validate(text, json.loads(reference.json_schema()))
