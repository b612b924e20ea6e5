"""The answer of each endpoint of a running server."""

import asyncio
import csv
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import duckdb
import pytest
from support.running import serving
from support.versions import change_store, current, make_current, publish_again, seal

from api.store import listing
from api.store.publication import load
from python_jobs.publication import candidate, prediction


@pytest.fixture(scope="module")
def table(finished_home) -> list[dict]:
    """Return the export of the published version, highest risk first."""
    (path,) = current(finished_home).glob("churn_predictions_*.csv")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_probes_name_the_version(server, finished_home):
    version = current(finished_home).name
    assert server.get("/live").json == {"status": "live"}
    assert server.get("/ready").json == {"status": "ready", "version": version}
    health = server.get("/health").json
    assert (health["status"], health["version"]) == ("ok", version)
    assert health["as_of_date"] == "2025-04-30"
    assert 0 <= health["published_age_seconds"] < 3600


def test_every_user_matches_the_exported_table(server, table):
    ids = [row["user_id"] for row in table]
    found = server.post("/v1/predictions/lookup", {"user_ids": ids}).json["found"]
    assert len(found) == len(table) == 300
    for row, answer in zip(table, found, strict=True):
        assert float(row["churn_risk"]) == answer["churn_risk"]
        for name in ("user_id", "as_of_date", "risk_rank", "risk_decile", "risk_band"):
            assert row[name] == str(answer[name])
        assert row["is_eligible"] == str(answer["is_eligible"]).lower()
        assert row["model_version"] == answer["model_version"]
        assert datetime.fromisoformat(f"{row['scored_at']}Z") == datetime.fromisoformat(
            answer["scored_at"]
        )


def test_one_user_is_the_same_row_as_in_a_lookup(server, table):
    for row in table[:: len(table) // 25]:
        one = server.get(f"/v1/predictions/{row['user_id']}").json
        many = server.post("/v1/predictions/lookup", {"user_ids": [row["user_id"]]}).json
        assert many["found"] == [one] and many["missing"] == []


def test_features_of_a_user_give_the_published_risk(server, table):
    """/predict gives the published risk with no feature sent and with all sent."""
    rows = [{"user_id": row["user_id"]} for row in table]
    scores = server.post("/predict/batch", {"rows": rows}).json["predictions"]
    for row, score in zip(table, scores, strict=True):
        assert abs(float(row["churn_risk"]) - score["churn_risk"]) <= 1e-6
    own = [server.post("/predict", {"user_id": row["user_id"]}).json for row in table]
    rows = [{"features": one["features_used"]} for one in own]
    again = server.post("/predict/batch", {"rows": rows}).json["predictions"]
    for row, one, sent in zip(table, own, again, strict=True):
        assert abs(float(row["churn_risk"]) - one["churn_risk"]) <= 1e-6
        assert abs(float(row["churn_risk"]) - sent["churn_risk"]) <= 1e-6
        assert sent["user_id"] is None


def test_unchanged_version_answers_304_without_a_body(server, table, finished_home):
    path = f"/v1/predictions/{table[0]['user_id']}"
    first = server.get(path)
    assert first.headers["etag"] == f'"{current(finished_home).name}"'
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = server.get(path, If_None_Match=known)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert server.get(path, If_None_Match='"other"').status == 200
    assert server.get("/v1/predictions/nobody", If_None_Match="*").status == 404


def test_lookup_separates_found_and_missing(server, table):
    known = table[3]["user_id"]
    answer = server.post("/v1/predictions/lookup", {"user_ids": ["nobody", known, known]}).json
    assert [row["user_id"] for row in answer["found"]] == [known]
    assert answer["missing"] == ["nobody"]


def test_pages_add_up_to_the_whole_list(server, table):
    found, cursor = [], ""
    while cursor is not None:
        cursor = cursor and f"&cursor={cursor}"
        page = server.get(f"/v1/predictions?include=all&limit=70{cursor}").json
        assert page["total"] == len(table)
        found += [row["user_id"] for row in page["predictions"]]
        cursor = page["next_cursor"]
    assert found == [row["user_id"] for row in table]


def test_filters_select_the_matching_users(server, table):
    plan = "free"
    query = f"min_risk=0.3&eligible=true&plan={plan}&limit=1000"
    page = server.get(f"/v1/predictions?{query}").json
    assert page["predictions"] and page["next_cursor"] is None
    for row in page["predictions"]:
        assert row["churn_risk"] >= 0.3 and row["is_eligible"] and row["attributes"]["plan"] == plan
    everyone = server.get("/v1/predictions?include=all&limit=1000").json["predictions"]
    expected = [
        row["user_id"]
        for row in everyone
        if row["churn_risk"] >= 0.3 and row["is_eligible"] and row["attributes"]["plan"] == plan
    ]
    assert [row["user_id"] for row in page["predictions"]] == expected
    band = server.get("/v1/predictions?band=medium").json["predictions"]
    assert {row["risk_band"] for row in band} <= {"medium"}


def test_lists_hold_eligible_users_unless_asked_for_others(server, table):
    def listed(query: str) -> set[str]:
        page = server.get(f"/v1/predictions?limit=1000&{query}").json
        assert page["total"] == len(page["predictions"])
        return {row["user_id"] for row in page["predictions"]}

    everybody = {row["user_id"] for row in table}
    eligible = {row["user_id"] for row in table if row["is_eligible"] == "true"}
    assert 0 < len(eligible) < len(everybody)
    assert listed("") == listed("eligible=true") == eligible
    assert listed("include=all") == everybody
    gone = everybody - eligible
    assert listed("eligible=false") == listed("band=gone") == gone
    assert listed("include=all&eligible=false") == gone


def test_total_counts_all_pages_of_a_filter(server, table):
    first = server.get("/v1/predictions?limit=1&min_risk=0.3&plan=free").json
    assert first["next_cursor"] and len(first["predictions"]) == 1
    query = f"limit=1&min_risk=0.3&plan=free&cursor={first['next_cursor']}"
    following = server.get(f"/v1/predictions?{query}").json
    whole = server.get("/v1/predictions?limit=1000&min_risk=0.3&plan=free").json
    assert first["total"] == following["total"] == len(whole["predictions"]) > 2


def test_user_is_told_with_worth_gain_and_place_on_the_list(server, finished_home):
    with duckdb.connect(str(current(finished_home) / "churnhouse.duckdb"), read_only=True) as con:
        columns = ", ".join(
            f"cast(c.{name} as varchar) as {name}"
            if schema.get("format") == "date"
            else f"c.{name}"
            for name, schema in candidate.COLUMNS.items()
            if name != "list_rank"
        )
        found = con.sql(
            f"select c.user_id, {columns}, l.list_rank from contact_candidates as c"
            " left join churn_top_risk as l using (user_id)"
        ).df()
    users = found.astype(object).where(found.notna(), None).to_dict("records")
    assert {bool(user["list_rank"]) for user in users} == {True, False}
    assert {"gone", "holdout", None} <= {user["left_out_because"] for user in users}
    for user in users[::7]:
        answer = server.get(f"/v1/predictions/{user['user_id']}").json
        assert {name: answer[name] for name in user} == user
        assert answer["expected_loss"] == answer["churn_risk"] * answer["user_value"]


def test_history_of_a_user_is_the_risk_at_each_date(server, finished_home):
    (path,) = current(finished_home).glob("churnhouse.duckdb")
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.sql("from churn_predictions order by user_id, as_of_date").df()
    for user_id, dates in list(rows.groupby("user_id"))[::40]:
        answer = server.get(f"/v1/history/{user_id}").json
        assert answer["user_id"] == user_id
        assert answer["dates"] == [
            {
                "as_of_date": str(row.as_of_date.date()),
                "churn_risk": row.churn_risk,
                "risk_band": row.risk_band,
            }
            for row in dates.itertuples()
        ]


def test_unchanged_user_is_scored_with_what_is_published(server, table):
    names = ("risk_band", "user_value", "reasons", "effects", "action", *candidate.COLUMNS)
    for row in table[:: len(table) // 20]:
        shown = server.get(f"/v1/predictions/{row['user_id']}").json
        own = server.post("/v1/predict", {"user_id": row["user_id"]}).json
        assert {name: own[name] for name in names} == {name: shown[name] for name in names}
        assert own["expected_loss"] == pytest.approx(shown["expected_loss"], abs=1e-4)
        sent = {"user_id": row["user_id"], "features": own["features_used"]}
        assert server.post("/v1/predict", sent).json == own


def test_changed_user_gets_its_own_band_loss_and_gain_and_no_reasons(server, table, finished_home):
    """Nobody becomes free to be contacted by other features, and only by these is somebody gone."""
    with duckdb.connect(str(current(finished_home) / "churnhouse.duckdb"), read_only=True) as con:
        rates = con.sql("from save_rates").df().set_index(["risk_band", "silence_group"])
    cost = json.loads((current(finished_home) / "manifest.json").read_text())["list"]["offer_cost"]
    bands, left_out = set(), set()
    some = table[:: len(table) // 20] + [row for row in table if row["in_holdout"] == "true"][:3]
    for row in some:
        shown = server.get(f"/v1/predictions/{row['user_id']}").json
        for silent in (0, 29, 30):
            changed = {"days_since_last_activity": silent, "tenure_days": 1000}
            for name in ("active_days", "events"):  # what fits the silence
                changed |= {f"{name}_{days}d": int(silent < days) for days in (7, 14, 30)}
                changed |= {f"{name}_ever": 50}
            sent = {"user_id": row["user_id"], "features": changed}
            told = server.post("/v1/predict", sent).json
            assert told["expected_loss"] == told["churn_risk"] * shown["user_value"]
            band = "gone" if silent == 30 else prediction.band(told["churn_risk"])
            assert told["risk_band"] == band
            bands.add(band)
            rate = rates.loc[(band, "recent" if silent < 7.5 else "silent")]
            for end in ("", "_low", "_high"):
                gain = told["expected_loss"] * rate[f"save_rate{end}"] - cost
                assert told[f"expected_gain{end}"] == pytest.approx(gain)
            free = "gone" if band == "gone" else None
            assert told["left_out_because"] == ("holdout" if shown["in_holdout"] else free)
            left_out.add(told["left_out_because"])
            assert {told[name] for name in ("reasons", "effects", "action", "list_rank")} == {None}
            features = server.post("/predict", {"features": told["features_used"]}).json
            assert features["risk_band"] == told["risk_band"]
            assert {features[name] for name in ("expected_loss", *candidate.COLUMNS)} == {None}
    assert {"high", "low", "gone"} <= bands
    assert left_out == {"holdout", "gone", None}


def test_explain_tells_what_was_published_of_the_same_features(server, table):
    """Everybody's features, sent as those of nobody known, get the reasons of the nightly job."""
    names, differ = ("reasons", "effects", "action"), set()
    for row in table[:: len(table) // 60]:
        shown = server.get(f"/v1/predictions/{row['user_id']}").json
        own = server.post("/v1/predict", {"user_id": row["user_id"]}).json
        sent = {"features": own["features_used"], "explain": True}
        told = server.post("/v1/predict", sent).json
        assert {name: told[name] for name in names} == {name: shown[name] for name in names}
        assert {own[name] is None for name in names[:2]} == {False}
        differ.add(told["reasons"][0])
    assert len(differ) > 10


def test_explain_tells_the_reasons_of_what_was_changed(server, table):
    row = next(row for row in table if row["reason_1"].startswith("Silent for"))
    shown = server.get(f"/v1/predictions/{row['user_id']}").json
    came = {"days_since_last_activity": 0, "tenure_days": 1000}
    for name in ("active_days", "events"):
        came |= {f"{name}_{days}d": days for days in (7, 14, 30)} | {f"{name}_ever": 900}
    sent = {"user_id": row["user_id"], "features": came, "explain": True}
    told = server.post("/v1/predict", sent).json
    assert told["churn_risk"] < shown["churn_risk"]
    assert not any("Silent" in reason for reason in told["reasons"])
    assert len(told["effects"]) == len(told["reasons"]) == 3
    again = server.post("/v1/predict", sent | {"explain": False}).json
    assert again == told | {"reasons": None, "effects": None, "action": None}


@pytest.mark.parametrize("explain", ["yes", 1, None])
def test_explain_is_true_or_false_and_of_one_user(server, table, explain):
    row = {"user_id": table[0]["user_id"], "explain": explain}
    refused = server.post("/v1/predict", row)
    assert refused.status == 422 and refused.json["detail"] == "Say whether to explain."
    assert [error["field"] for error in refused.json["errors"]] == ["explain"]
    refused = server.post("/v1/predict/batch", {"rows": [row | {"explain": True}]})
    assert [error["field"] for error in refused.json["errors"]] == ["rows.0.explain"]


def test_predict_has_an_alias_without_a_version(server, table):
    for end in ("", "/batch"):
        body = {"user_id": table[0]["user_id"]}
        body = {"rows": [body]} if end else body
        assert (
            server.post(f"/v1/predict{end}", body).json == server.post(f"/predict{end}", body).json
        )


def test_what_if_needs_only_the_changed_feature(server, table):
    user_id = next(row["user_id"] for row in table if row["risk_band"] == "high")
    as_is = server.post("/predict", {"user_id": user_id}).json
    watched = {"watch_minutes_30d": 5000}
    changed = server.post("/predict", {"user_id": user_id, "features": watched}).json
    assert changed["features_used"] == as_is["features_used"] | watched
    assert changed["churn_risk"] != as_is["churn_risk"]
    assert changed["user_id"] == user_id


def test_what_if_refuses_a_person_who_cannot_be(server, table):
    """The contradiction is named; more that is sent may solve it. A batch names the row."""
    user_id = next(row["user_id"] for row in table if row["risk_band"] == "high")
    today = {"days_since_last_activity": 0}
    refused = server.post("/predict", {"user_id": user_id, "features": today})
    assert refused.status == 422
    said = "days_since_last_activity is 0, but active_days_7d is 0."
    assert refused.json["errors"] == [{"in": "body", "field": "features.*", "problem": said}]
    assert refused.json["detail"] == f"Nobody can have these features: {said}"
    score = server.post("/predict", {"user_id": user_id, "features": {"quiz_score_30d": 500}})
    assert score.json["errors"][0]["problem"].endswith("it cannot be above 100.")
    rows = [{"user_id": user_id}, {"user_id": user_id, "features": today}]
    refused = server.post("/predict/batch", {"rows": rows})
    assert [e["field"] for e in refused.json["errors"]] == ["rows.1.features.*"]
    used = server.post("/predict", {"user_id": user_id}).json["features_used"]
    back = today | {
        name: used[name] + 1
        for name in used
        if name.startswith(("active_days_", "events_")) and not name.startswith("active_day_rate")
    }
    assert server.post("/predict", {"user_id": user_id, "features": back}).status == 200


def test_published_rows_are_possible(server, table):
    answers = [
        server.post("/predict", {"features": used["features_used"]}).status
        for row in table[::5]
        if (used := server.post("/predict", {"user_id": row["user_id"]}).json)
    ]
    assert set(answers) == {200} and len(answers) > 50


def test_attribute_as_text_gives_the_score_of_the_batch(server, table):
    """A user is scored alike by id and, without an id, by numbers and the attributes as text."""
    for row in table[:: len(table) // 20]:
        shown = server.get(f"/v1/predictions/{row['user_id']}").json
        used = server.post("/predict", {"user_id": row["user_id"]}).json["features_used"]
        assert used["plan"] == shown["attributes"]["plan"]
        own = used | {name: shown["attributes"][name] for name in ("plan", "marketing_source")}
        answer = server.post("/predict", {"features": own}).json
        assert abs(answer["churn_risk"] - float(row["churn_risk"])) <= 1e-6
        assert answer["features_used"] == used


def test_what_if_takes_any_value_of_an_attribute(server, table):
    """Values that the model does not know score alike; null is the value unknown."""

    def risk(user_id, plan):
        asked = {"user_id": user_id, "features": {"plan": plan}}
        answer = server.post("/predict", asked).json
        assert answer["features_used"]["plan"] == plan
        return answer["churn_risk"]

    moved = 0
    for row in table[:: len(table) // 20]:
        plans = {plan: risk(row["user_id"], plan) for plan in ("free", "basic", "premium")}
        shown = server.get(f"/v1/predictions/{row['user_id']}").json
        assert abs(plans[shown["attributes"]["plan"]] - shown["churn_risk"]) <= 1e-6
        moved += len(set(plans.values())) > 1
        assert risk(row["user_id"], "gold") == risk(row["user_id"], "it's; --")
        assert risk(row["user_id"], None) == risk(row["user_id"], "unknown")
    assert moved > 10


def test_unknown_user_needs_every_feature(server, table):
    features = server.post("/predict", {"user_id": table[0]["user_id"]}).json["features_used"]
    assert server.post("/predict", {"user_id": "new", "features": features}).status == 200
    del features["tenure_days"], features["quiz_score_30d"]
    refused = server.post("/predict", {"user_id": "new", "features": features})
    assert refused.status == 422
    assert {e["field"]: e["problem"] for e in refused.json["errors"]} == {
        "features.tenure_days": "missing",
        "features.quiz_score_30d": "missing",
    }


def test_model_endpoint_describes_the_model(server, finished_home):
    model = server.get("/v1/model").json
    assert len(model["features"]) > 20
    assert model["metrics"]["eligible"]["roc_auc"]
    assert model["estimator"]


def test_missing_monitoring_data_is_reported(server):
    for path in ("/v1/drift", "/v1/performance"):
        answer = server.get(path)
        assert answer.status == 200
        assert isinstance(answer.json["available"], bool)


def test_openapi_describes_every_route_with_examples(server):
    document = server.get("/openapi.json").json
    assert set(document["paths"]) == {
        *("/live", "/ready", "/health"),
        *("/v1/predictions", "/v1/predictions/lookup", "/v1/predictions/{user_id}"),
        *("/v1/model", "/v1/drift", "/v1/performance", "/v1/predict", "/v1/predict/batch"),
        *("/v1/contacts", "/v1/contacts/{user_id}", "/v1/history/{user_id}", "/v1/changes"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            errors = [s for s in operation["responses"] if s >= "400"]
            assert {"401", "403", "429", "500", "503"} <= set(errors)
            for status in errors:
                assert list(operation["responses"][status]["content"]) == [
                    "application/problem+json"
                ]
    body = document["components"]["schemas"]["PredictRequest"]
    assert body["examples"]
    properties = document["components"]["schemas"]["Features"]["properties"]
    assert "tenure_days" in properties
    assert properties["plan"]["type"] == ["string", "null"]
    assert sorted(properties["plan"]["examples"]) == ["basic", "free", "premium"]


def test_desk_does_not_list_holdout_users_to_contact(published_home, tmp_path):
    """The riskiest user moves into the holdout and off the list; the next one leads it."""
    folder = publish_again(published_home, 1)
    change_store(folder, "update users set in_holdout = 0")
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        query = "select user_id from users where is_eligible order by risk_rank limit 10"
        users = [row[0] for row in store.execute(query)]
    change_store(folder, f"update users set in_holdout = 1 where user_id = '{users[0]}'")
    change_store(folder, "drop table churn_top_risk")  # as in a version of an earlier release
    seal(folder)
    make_current(folder)
    with serving(published_home, tmp_path / "log") as running:
        shown = re.findall(r'href="/desk/users/([^"?]+)"', running.get("/desk").text)
        assert shown == users[1:9]
        listed = running.get("/desk/users").text
        assert users[0] in listed and "holdout" in listed


def test_version_without_holdout_column_lists_eligible_users(published_home):
    """The first releases published no holdout column."""
    folder = current(published_home)
    publication = load(folder.parent, folder.name)
    assert listing.to_contact(publication).equal == {"is_eligible": 1, "in_holdout": 0}
    names = [name for name in publication.prediction_columns if name != "in_holdout"]
    earlier = replace(publication, prediction_columns=names)
    assert listing.to_contact(earlier).equal == {"is_eligible": 1}


def test_total_is_counted_in_windows_and_once(finished_home, monkeypatch):
    monkeypatch.setattr(listing, "WINDOW", 37)
    folder = current(finished_home)
    publication = load(folder.parent, folder.name)
    asked: list[str] = []
    publication.store.set_trace_callback(asked.append)
    (eligible,) = publication.store.execute(
        "select count(*) from users where is_eligible = 1 and churn_risk >= 0.3"
    ).fetchone()
    chosen = listing.Filter({"is_eligible": 1}, 0.3)

    async def twice() -> list[int]:
        return await asyncio.gather(*(listing.total(publication, chosen) for _ in range(2)))

    assert asyncio.run(twice()) == [eligible, eligible]
    counts = [sql for sql in asked if "risk_rank <= " in sql]
    assert 1 < len(counts) == len(set(counts))


def test_each_order_takes_users_without_a_value(published_home, monkeypatch):
    """Also where they meet others of another window."""
    folder = publish_again(published_home, 1)
    for name in ("expected_gain", "expected_loss"):
        change_store(folder, f"update users set {name} = null where risk_rank % 15 in (2, 3, 4)")
    seal(folder)
    publication = load(folder.parent, folder.name)

    def found(sort: str) -> tuple[list[int], int]:
        return asyncio.run(listing.top(publication, listing.Filter(), sort, 300))

    whole = {sort: found(sort) for sort in listing.SORTS}
    assert {len(set(ranks)) for ranks, _ in whole.values()} == {300}
    monkeypatch.setattr(listing, "WINDOW", 37)
    assert {sort: found(sort) for sort in listing.SORTS} == whole
