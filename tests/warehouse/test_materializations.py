"""Tables and views are put in place in one statement, whatever stood there; hooks are run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
from homes import PROJECT
from tiny import Tiny, day

USERS = [("ann", day(0), "a", f"{day(0)} 00:00:00"), ("bob", day(1), "b", f"{day(1)} 00:00:00")]
EVENTS = [(f"e{n}", "ann", f"{day(n)} 12:00:00", "visit", 5) for n in range(4)]
KINDS = "select table_name, table_type from information_schema.tables order by all"


def test_a_table_takes_the_place_of_a_view_and_a_view_that_of_a_table(tiny: Tiny):
    """As in a warehouse of before, when a model was the other."""
    tiny.load(USERS, EVENTS)
    tiny.build()
    kinds, tables = tiny.rows(KINDS), tiny.tables()
    with duckdb.connect(str(tiny.settings.warehouse)) as connection:
        connection.execute("create table kept as from stg_events")
        connection.execute("drop view stg_events")
        connection.execute("alter table kept rename to stg_events")
        connection.execute("drop table stg_users")
        connection.execute("create view stg_users as select 'nobody' as user_id")
    tiny.build()
    assert tiny.rows(KINDS) == kinds
    assert tiny.tables() == tables


def test_hooks_of_a_table_and_of_a_view_are_run(tiny: Tiny, tmp_path: Path):
    """Those of a project of one's own, which the models here do not have."""
    tiny.load(USERS, EVENTS)
    tiny.build()
    project = tmp_path / "project"
    for name in ("models", "macros", "seeds", "tests"):
        shutil.copytree(PROJECT / name, project / name)
    shutil.copy(PROJECT / "profiles.yml", project)
    text = (PROJECT / "dbt_project.yml").read_text()
    hook = "    +post_hook: \"comment on {{ model.config.materialized }} {{ this }} is 'seen'\"\n"
    (project / "dbt_project.yml").write_text(
        text.replace("models:\n  churnhouse:\n", f"models:\n  churnhouse:\n{hook}")
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "run", "--select", "stg_users", "stg_events"],
        env=os.environ | {"CHURNHOUSE_HOME": str(tiny.settings.home)},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert tiny.rows(
        "select table_name, comment from duckdb_tables() where table_name = 'stg_users' union all "
        "select view_name, comment from duckdb_views() where view_name = 'stg_events'"
    ) == [("stg_users", "seen"), ("stg_events", "seen")]
