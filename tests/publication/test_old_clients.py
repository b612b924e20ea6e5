"""The published DuckDB file opens in the client that BI drivers carry."""

import json
import subprocess
from pathlib import Path

import pytest
from support.homes import PROJECT

OLD = PROJECT / ".venv-tools/bin/python"
QUERY = """
import duckdb, json, sys
file = duckdb.connect(sys.argv[1], read_only=True)
rows = file.execute("select count(*), min(user_id) from churn_predictions_latest").fetchall()
print(json.dumps([duckdb.__version__, *rows[0]]))
"""


@pytest.mark.skipif(not OLD.exists(), reason="needs DuckDB 1.4 of .venv-tools")
def test_published_file_opens_in_duckdb_1_4(finished_home: Path):
    path = finished_home / "published/current/churnhouse.duckdb"
    done = subprocess.run(
        [OLD, "-c", QUERY, path], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    version, users, first = json.loads(done.stdout)
    assert version.startswith("1.4.") and users == 300 and first == "u0000001"
