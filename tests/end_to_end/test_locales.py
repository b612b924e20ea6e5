"""The main job under locales that are not UTF-8 or have another capital for i."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.homes import PROJECT

from python_jobs.synthetic.generate import generate

CITIES = {"DE": "Zürich", "US": "İstanbul"}


def churnhouse(home: Path, *arguments: object, **locale: str) -> str:
    """Run a command that must succeed under a locale; return its output."""
    done = subprocess.run(
        [Path(sys.executable).with_name("churnhouse"), *map(str, arguments)],
        env=os.environ
        | {"CHURNHOUSE_HOME": str(home), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        | locale,
        cwd=PROJECT,
        capture_output=True,
    )
    assert done.returncode == 0, done
    assert done.stderr == b""
    return done.stdout.decode("ascii")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return a home published under an ASCII locale from names that are not ASCII."""
    folder = tmp_path_factory.mktemp("names")
    generate(folder / "made", folder / "truth", users=300)
    renamed = "case country " + " ".join(f"when '{k}' then '{v}'" for k, v in CITIES.items())
    for table, replaced in (("users", f", {renamed} else country end as country"), ("events", "")):
        (folder / "raw" / table).mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute(
                f"copy (select * replace (replace(user_id, 'u', 'ü') as user_id{replaced}) "
                f"from '{folder}/made/{table}/*.parquet') to '{folder}/raw/{table}/all.parquet'"
            )
    raw, home = folder / "raw", folder / "data"
    shown = churnhouse(home, "run", "--raw", raw, "--time-budget", 0, LC_ALL="C")
    assert r"\xfc0000" in shown  # among the riskiest
    return home


def test_names_are_published_unchanged_under_an_ascii_locale(home: Path):
    (scores,) = (home / "published/current").glob("churn_predictions_*.csv")
    assert "\nü0000" in scores.read_text(encoding="utf-8")
    store = home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(store), read_only=True) as connection:
        countries = connection.execute("select distinct country from user_features_latest")
        assert set(CITIES.values()) <= {country for (country,) in countries.fetchall()}


@pytest.mark.skipif(not shutil.which("localedef"), reason="needs localedef, of glibc, to make one")
def test_dbt_builds_under_a_turkish_locale(home: Path, tmp_path: Path):
    """In ISO-8859-9 Turkish, the capital of i is another letter than I."""
    made = ["localedef", "--no-archive", "-i", "tr_TR", "-f", "ISO-8859-9"]
    subprocess.run([*made, tmp_path / "tr_TR.ISO-8859-9"], check=True)
    turkish = {"LOCPATH": str(tmp_path), "LC_ALL": "tr_TR.ISO-8859-9"}
    told = churnhouse(home, "build", "--select", "churn_top_risk", **turkish)
    assert "1 models" in told
