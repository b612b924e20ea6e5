"""Tables and views are put in place in one statement, and what a model asks for besides is done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.homes import PROJECT
from support.tiny import Tiny, day

USERS = [("ann", day(0), "a", f"{day(0)} 00:00:00"), ("bob", day(1), "b", f"{day(1)} 00:00:00")]
EVENTS = [(f"e{n}", "ann", f"{day(n)} 12:00:00", "visit", 5) for n in range(4)]
KINDS = "select table_name, table_type from information_schema.tables order by all"
COMMENTS = """
    select table_name, comment from duckdb_tables() where comment is not null union all
    select view_name, comment from duckdb_views() where comment is not null order by all
"""


@pytest.fixture
def built(tiny: Tiny) -> Tiny:
    tiny.load(USERS, EVENTS)
    tiny.build()
    return tiny


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project like this one, for a test to change."""
    project = tmp_path / "project"
    for name in ("models", "macros", "seeds", "tests/gates", "tests/generic"):
        shutil.copytree(PROJECT / name, project / name)
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / name, project)
    return project


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def dbt_run(tiny: Tiny, project: Path, *models: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).with_name("dbt"), "run", "--select", *models],
        env=os.environ | {"CHURNHOUSE_HOME": str(tiny.settings.home)},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def swap_kinds(tiny: Tiny) -> None:
    """A table stands where a view is to stand, and a view where a table is."""
    with duckdb.connect(str(tiny.settings.warehouse)) as connection:
        connection.execute("create table kept as from stg_events")
        connection.execute("drop view stg_events")
        connection.execute("alter table kept rename to stg_events")
        connection.execute("drop table stg_users")
        connection.execute("create view stg_users as select 'nobody' as user_id")


def test_a_table_takes_the_place_of_a_view_and_a_view_that_of_a_table(built: Tiny):
    """As in a warehouse of before, when a model was the other."""
    kinds, tables = built.rows(KINDS), built.tables()
    swap_kinds(built)
    built.build()
    assert built.rows(KINDS) == kinds
    assert built.tables() == tables


def test_what_stood_there_stays_where_its_successor_fails(built: Tiny, project: Path):
    swap_kinds(built)
    kinds = built.rows(KINDS)
    (project / "models/staging/stg_users.sql").write_text("select error('broken') as user_id")
    (project / "models/staging/stg_events.sql").write_text(
        "{{ config(materialized='view') }} select no_such_column"
    )
    done = dbt_run(built, project, "stg_users", "stg_events")
    assert done.returncode == 1
    assert "broken" in done.stdout
    assert "no_such_column" in done.stdout
    assert built.rows(KINDS) == kinds


def test_hooks_are_run_and_a_comment_may_end_a_model(built: Tiny, project: Path):
    kind = "{{ 'view' if model.config.materialized == 'view' else 'table' }}"
    hook = f"    +post_hook: \"comment on {kind} {{{{ this }}}} is 'seen'\"\n"
    heading = "models:\n  churnhouse:\n"
    change(project / "dbt_project.yml", heading, heading + hook)
    for model in ("stg_users", "stg_events"):
        with (project / f"models/staging/{model}.sql").open("a") as file:
            file.write("-- the last line")
    names = ("performance_intervals", "stg_events", "stg_users")
    done = dbt_run(built, project, "+performance_intervals", "stg_users", "stg_events")
    assert done.returncode == 0, done.stdout
    comments = dict(built.rows(COMMENTS))
    assert [comments.get(name) for name in names] == ["seen"] * 3


@pytest.mark.parametrize("model", ["core/build_window", "predictions/churn_predictions"])
def test_a_contract_is_held(built: Tiny, project: Path, model: str):
    """Of a table and of a view."""
    change(project / f"models/{model}.yml", "type: date", "type: integer")
    done = dbt_run(built, project, Path(model).name)
    assert done.returncode == 1
    assert "contract" in done.stdout


def test_a_contract_gives_the_order_of_columns(built: Tiny, project: Path):
    """As dbt's own materialization has it: the model's SQL may name them in another."""
    model = project / "models/core/build_window.sql"
    change(model, "    written.data_from,\n    written.data_through,\n    written.new_from",
           "    written.new_from,\n    written.data_through,\n    written.data_from")  # fmt: skip
    before = built.rows("from build_window")
    assert dbt_run(built, project, "build_window").returncode == 0
    assert [row[:2] for row in built.rows("from build_window")] == [row[:2] for row in before]
