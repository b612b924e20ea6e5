"""A person is found by any of their ids, and forgotten with all of them."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, copied, files_that_name, refused, rows
from support.running import serving, wait_until

USER = "u0000007"


@pytest.fixture(scope="module")
def linked(finished_home: Path, tmp_path_factory) -> Path:
    """A published home in which anon-1 was linked to a user, and a time zone is set."""
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


def test_a_contact_under_an_id_merged_since_keeps_the_person_off(
    finished_home: Path, tmp_path: Path
):
    """The list's first is called; then the id turns out to be one of the second's."""
    home = copied(finished_home, tmp_path / "data")
    query = "select user_id from churn_top_risk order by list_rank limit 2"
    first, second = (user for (user,) in rows(home, query))
    with serving(home, tmp_path / "api.log") as server:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        called = server.post("/v1/contacts", {"user_id": first, "treated_at": now})
        assert called.status == 201
        with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
            connection.execute(
                "insert into raw.identity_map values "
                f"('{first}', '0001-01-01', '9999-12-31', '{second}', '2026-01-01')"
            )
        churnhouse(home, "publish")
        version = (home / "published/current").resolve().name
        wait_until(lambda: version in server.get("/health").text, what="the next version")
        found = f"/v1/contacts/{second}"
        wait_until(lambda: server.get(found).json["contacts"], what="the contact")
        listed = server.get("/desk/users?tab=call").text
        assert f'href="/desk/users/{second}"' not in listed
        csv = churnhouse(home, "list", "--csv", "--order", "risk").stdout
        assert second not in csv and first in csv  # the old row has not been built anew
        back = {"user_id": second, "action": "withdrawn"}
        back |= {"withdraws": called.json["contact_key"]}
        assert server.post("/v1/contacts", back | {"user_id": "u0000001"}).status == 422
        assert server.post("/v1/contacts", back).status == 201
        wait_until(lambda: not server.get(found).json["contacts"], what="the withdrawal")


def test_pages_of_an_earlier_version_end_when_somebody_is_forgotten(
    finished_home: Path, tmp_path: Path
):
    home = copied(finished_home, tmp_path / "data")
    with serving(home, tmp_path / "api.log") as server:
        first = server.get("/v1/predictions?limit=3").json
        following = f"/v1/predictions?limit=3&cursor={first['next_cursor']}"
        second = server.get(following).json["predictions"]
        churnhouse(home, "publish")
        version = (home / "published/current").resolve().name
        wait_until(lambda: version in server.get("/health").text, what="the next version")
        assert server.get(following).json["predictions"] == second
        churnhouse(home, "forget", second[0]["user_id"])
        version = (home / "published/current").resolve().name
        wait_until(lambda: version in server.get("/health").text, what="the next version")
        told = server.get(following)
        assert told.status == 410 and second[0]["user_id"] not in told.text


def test_forgetting_one_id_forgets_the_person(linked: Path):
    churnhouse(linked, "forget", "anon-1")
    assert files_that_name(linked, USER) == [] and files_that_name(linked, "anon-1") == []
    assert "No table knows a user 'anon-2'" in refused(linked, "forget", "anon-2")
