"""prediction: all writers and readers of predictions use one list of columns."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
import yaml
from support.homes import rows

from api.routes.openapi import SCHEMAS
from api.store.publication import load
from python_jobs.ingest.sources import TABLE_COLUMNS, USER_COLUMNS
from python_jobs.publication import candidate, lookup_store, prediction
from python_jobs.scoring import rows as scoring_rows
from python_jobs.settings import PROJECT

RELATIONS = ("churn_predictions", "churn_predictions_latest", "churn_top_risk")
LISTED_WITH = [
    *("last_contact_on", "churn_move", "moved_since", "owner", "save_rate"),
    *("expected_gain", "expected_gain_low", "expected_gain_high"),
    *("is_explored", "list_probability", "list_rank"),
]
"""What the list has besides the columns of a prediction."""
DOC = re.compile(r"{% docs (\w+) %}\n(.*?)\n{% enddocs %}", re.DOTALL)
IN_DUCKDB = {"string": "VARCHAR"}


def flat(text: str) -> str:
    return " ".join(text.split())


def described(column: dict, docs: dict[str, str]) -> str:
    """Return a description of a yml, with its doc block resolved."""
    block = re.fullmatch(r"{{ doc\('(\w+)'\) }}", column["description"])
    return flat(docs[block[1]] if block else column["description"])


def test_the_yml_lists_the_columns_of_the_schema():
    docs = dict(DOC.findall((PROJECT / "models/docs.md").read_text(encoding="utf-8")))
    text = (PROJECT / "models/predictions/churn_predictions.yml").read_text(encoding="utf-8")
    (model,) = yaml.safe_load(text)["models"]
    found = [
        (
            column["name"],
            column["data_type"],
            described(column, docs),
            column.get("config", {}).get("meta", {}).get("made_by") == "view",
        )
        for column in model["columns"]
    ]
    assert found == [
        (c.name, c.type, c.description, c.made_by == "view") for c in prediction.COLUMNS
    ]


def test_dbt_makes_the_table_and_the_view_from_the_schema(finished_home):
    def columns(relation: str) -> list[tuple[str, str]]:
        return [row[:2] for row in rows(finished_home, f"describe {relation}")]

    def expected(columns) -> list[tuple[str, str]]:
        return [(c.name, IN_DUCKDB.get(c.type, c.type.upper())) for c in columns]

    stored = prediction.made_by("scoring", "ranking")
    assert columns("ml.churn_predictions") == expected(stored)
    for relation in RELATIONS:
        found = columns(f"main.{relation}")
        assert found[: len(prediction.COLUMNS)] == expected(prediction.COLUMNS)
        more = [name for name, _ in found[len(prediction.COLUMNS) :]]
        assert more == (LISTED_WITH if relation == "churn_top_risk" else [])


def test_published_files_have_the_columns_of_the_schema(finished_home):
    current = finished_home / "published/current"
    names = list(prediction.NAMES)
    for path in [*current.glob("*.csv"), *current.glob("*.parquet")]:
        more = LISTED_WITH if path.name.startswith("churn_top") else []
        assert duckdb.sql(f"from '{path}'").columns == names + more
    with closing(sqlite3.connect(current / "lookup.sqlite")) as store:
        assert list(lookup_store.columns(store))[: len(names)] == names


def test_scoring_gives_the_columns_of_the_schema():
    """Order and types follow the schema, because Spark reads batches by position."""
    expected = [c for c in prediction.COLUMNS if c.made_by == "scoring"]
    assert list(scoring_rows.SCORED) == expected
    values = ", ".join(f"null as {c.name}" for c in reversed(expected))
    found = duckdb.sql(prediction.typed(f"select {values}", scoring_rows.SCORED))
    assert found.columns == [c.name for c in expected]
    assert [str(kind) for kind in found.types] == [
        IN_DUCKDB.get(c.type, c.type.upper()) for c in expected
    ]


def test_the_api_describes_and_shows_every_column(finished_home):
    """Reasons are one list and flags are booleans; values have the OpenAPI type."""
    folder = (finished_home / "published/current").resolve()
    publication = load(folder.parent, folder.name)
    (user_id,) = rows(finished_home, "select user_id from churn_top_risk where risk_rank > 3")[0]
    row = publication.prediction(user_id)
    gathered = {name for names in prediction.LISTS.values() for name in names}
    expected = {*prediction.NAMES, *prediction.LISTS} - gathered
    assert set(row) == expected | {"attributes", "published_version", *candidate.COLUMNS}
    described = SCHEMAS["Prediction"]
    assert set(described["properties"]) == set(row) == set(described["required"])
    kinds = {"string": str, "number": float, "integer": int, "boolean": bool}
    kinds |= {"array": list, "object": dict, "null": type(None)}
    for name, value in row.items():
        allowed = described["properties"][name]["type"]
        allowed = [allowed] if isinstance(allowed, str) else allowed
        assert type(value) in [kinds[kind] for kind in allowed], name
    assert set(row["effects"]) <= {"raises", "lowers"} and len(row["effects"]) == 3
    assert len(row["reasons"]) == 3


def test_attributes_are_the_columns_the_domain_declares(published_home_of):
    """Other text columns of the store are not attributes."""
    folder = published_home_of("alter table users add column note text")
    publication = load(folder.parent, folder.name)
    assert publication.attributes == ["plan", "country", "marketing_source"]


def test_a_version_of_an_earlier_release_still_loads(published_home_of, finished_home):
    """It has no attributes, no files of reasons, and of its features only names and types."""
    folder = published_home_of("select 1", without=("attributes",))
    new = (finished_home / "published/current").resolve()
    old, now = (load(f.parent, f.name) for f in (folder, new))
    assert old.attributes == now.attributes
    assert old.choices == now.choices
    assert [(f.measure, f.window) for f in old.feature_facts.values()] == [
        (f.measure, f.window) for f in now.feature_facts.values()
    ]
    (user_id,) = rows(finished_home, "select user_id from churn_top_risk limit 1")[0]
    shown = now.prediction(user_id) | {"published_version": old.version}
    shown["model_version"] = old.model_version
    assert old.prediction(user_id) == shown
    (values, risk) = (now.user_features(user_id), shown["churn_risk"])
    assert old.explain(values, risk) == {"reasons": None, "effects": None, "action": None}
    assert now.explain(values, risk)["reasons"] == shown["reasons"]


@pytest.fixture
def published_home_of(finished_home, tmp_path):
    """Return a copy of the published version with changed lookup store and manifest."""
    from support.versions import change_store, current, publish_again, seal

    home = tmp_path / "home"
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)

    def make(statement: str, without: tuple[str, ...] = ()) -> Path:
        folder = publish_again(home, 1, current(home))
        change_store(folder, statement)
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in without:
            del manifest[name]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        if without:
            features = json.loads((folder / "features.json").read_text())
            del features["facts"]
            (folder / "features.json").write_text(json.dumps(features))
            for name in ("reasons.onnx", "reasons.json", "words.json"):
                (folder / name).unlink()
                del manifest["files"][name]
            (folder / "manifest.json").write_text(json.dumps(manifest))
        seal(folder)
        return folder

    return make


def test_no_attribute_has_the_name_of_a_column_of_the_store():
    """Publishing would fail: the store's table of users has them all."""
    own = {*prediction.NAMES, *candidate.COLUMNS, *lookup_store.SERIES}
    assert own <= USER_COLUMNS
    assert "owner" not in TABLE_COLUMNS  # measured columns may have that name


NEW_LINE = '    Column("summary", "string", "What to say of the user."),\n'
NEW_YML = """      - name: summary
        data_type: string
        description: What to say of the user.
"""
SCORE_AND_SHOW = """
import json
from api.routes.openapi import SCHEMAS
from api.store.publication import load
from python_jobs.pipeline import score_and_publish
from python_jobs.settings import Settings

settings = Settings()
score_and_publish(settings)
folder = (settings.published / "current").resolve()
publication = load(folder.parent, folder.name)
user_id = publication.store.execute("select user_id from users limit 1").fetchone()[0]
shown = publication.prediction(user_id)
print(json.dumps({"shown": shown, "described": SCHEMAS["Prediction"]["properties"]["summary"]}))
"""


def test_new_column_needs_one_schema_line_its_docs_and_its_value(home, tmp_path):
    """Runs in a copy of the project, on a warehouse filled before the column was added."""
    project = tmp_path / "project"
    for name in ("python_jobs", "api", "macros", "models", "seeds", "domains", "tests/generic"):
        shutil.copytree(PROJECT / name, project / name)
    shutil.copytree(PROJECT / "tests/gates", project / "tests/gates")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project)
    before = '    Column("model_version"'
    add(project / "python_jobs/publication/prediction.py", before, NEW_LINE)
    add(
        project / "models/predictions/churn_predictions.yml", "      - name: model_version", NEW_YML
    )
    value = "    'call ' || user_id as summary,\n"
    add(project / "python_jobs/scoring/rows.py", "    is_eligible,\n", value)
    environment = os.environ | {"PYTHONPATH": str(project), "CHURNHOUSE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", SCORE_AND_SHOW],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["shown"]["summary"] == f"call {said['shown']['user_id']}"
    assert set(said["shown"]["attributes"]) == {"plan", "country", "marketing_source"}
    assert said["described"] == {"type": "string", "description": "What to say of the user."}
    path = home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(path), read_only=True) as published:
        for relation in RELATIONS:
            query = f"select count(*) from {relation} where summary = 'call ' || user_id"
            assert published.execute(query).fetchone()[0] > 0


def add(path: Path, before: str, line: str) -> None:
    """Insert a line into a file before the only place where a text occurs."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, line + before), encoding="utf-8")
