"""A person is found by any of their ids, and forgotten with all of them."""

from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, files_that_name, refused
from support.running import serving

USER = "u0000007"


@pytest.fixture(scope="module")
def linked(finished_home: Path, tmp_path_factory) -> Path:
    """A published home in which anon-1 was linked to a user, and a time zone is set."""
    from support.homes import copied

    home = copied(finished_home, tmp_path_factory.mktemp("linked") / "data")
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into raw.identity_map values "
            f"('anon-1', '0001-01-01', '9999-12-31', '{USER}', '2026-01-01')"
        )
    churnhouse(home, "publish")
    return home


def test_person_is_found_by_another_id_in_api_and_desk(linked: Path, tmp_path: Path):
    with serving(linked, tmp_path / "api.log") as server:
        assert server.get("/v1/predictions/anon-1").json["user_id"] == USER
        both = server.post("/v1/predictions/lookup", {"user_ids": ["anon-1", "anon-2"]}).json
        assert [row["user_id"] for row in both["found"]] == [USER] and both["missing"] == ["anon-2"]
        assert USER in server.get("/desk/users/anon-1").text
        assert server.get("/v1/predictions/two%0Alines").status == 404


def test_forgetting_one_id_forgets_the_person(linked: Path):
    churnhouse(linked, "forget", "anon-1")
    assert files_that_name(linked, USER) == [] and files_that_name(linked, "anon-1") == []
    assert "No table knows a user 'anon-2'" in refused(linked, "forget", "anon-2")
