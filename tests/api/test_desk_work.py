"""Working with the desk's list: tabs, contacts, keys and saved views; the manager's week."""

import csv
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.browsing import PHONE, needs_chromium
from support.history import score_day
from support.homes import churnhouse, rows
from support.running import Server, serving, wait_until
from support.versions import (
    change_manifest,
    change_store,
    current,
    make_current,
    publish_again,
    seal,
)

from api.desk import contacted, results
from python_jobs.publication import contacts

AS_OF = date(2025, 4, 30)
NEXT_WEEK = datetime.now(UTC).date() + timedelta(days=7)


def listed(server: Server, tab: str) -> list[str]:
    """Return the users of a tab, in order."""
    text = server.get(f"/desk/users?tab={tab}").text
    return re.findall(r'class="who"><a href="/desk/users/([^"]+)"', text)


def send(server: Server, headers: dict | None = None, **fields: object):
    """Send a form of the desk, as a browser without JavaScript does."""
    told = {"form": "0" * 32, "next": "/desk/users?tab=call"} | fields
    form = {"Content-Type": "application/x-www-form-urlencoded"} | (headers or {})
    path = f"/desk/contacts?{urlencode({'next': told.pop('next')})}"
    return server.ask("POST", path, body=urlencode(told, doseq=True), headers=form)


def kept(home: Path) -> list[dict]:
    return [contacts.read(path) for path in contacts.files(home / "contacts")]


def test_each_tab_counts_the_users_that_it_lists(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        send(server, contacted=listed(server, "call")[0], channel="phone")
        page = server.get("/desk/users").text
        counts = dict(re.findall(r'tab=(\w+)"[^>]*>[^<]+<span class="count">([\d,]+)<', page))
        assert {"call", "waiting", "all"} <= counts.keys()
        for tab, count in counts.items():
            shown = re.search(
                r'role="status">([\d,]+) user', server.get(f"/desk/users?tab={tab}").text
            )
            assert shown[1] == count, tab


def test_form_moves_users_from_the_list_to_those_who_wait(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        first, second, third, fourth = listed(server, "call")[:4]
        told = send(server, contacted=first, campaign="spring", channel="phone", note="a\r\nb")
        assert (told.status, told.headers["location"]) == (
            303,
            f"/desk/users?tab=call&done=contacted-1&undo={'0' * 32}",
        )
        (contact,) = kept(published_home)
        assert contact["user_id"] == first and contact["action"] == "contacted"
        assert (contact["campaign"], contact["channel"]) == ("spring", "phone")
        assert contact["note"] == "a\nb" and contact["outcome"] is None
        assert listed(server, "call")[0] == second and listed(server, "waiting") == [first]
        told = send(
            server, form="1" * 32, snoozed="", user=[second, third], snoozed_until=NEXT_WEEK
        )
        assert told.headers["location"].endswith(f"done=snoozed-2&undo={'1' * 32}")
        assert listed(server, "call")[0] == fourth
        assert set(listed(server, "waiting")) == {first, second, third}
        assert "2 users snoozed" in server.get(told.headers["location"]).text
        waiting = server.get("/desk/users?tab=waiting").text
        assert "by phone" in waiting and "snoozed until" in waiting
        assert "a\nb" in server.get(f"/desk/users/{first}").text


def test_who_came_back_or_is_gone_waits_no_more(published_home, tmp_path):
    """Also where that was weeks ago, so that churn_moves, which tells one week, has no word."""
    folder = publish_again(published_home, 1)
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        query = (
            "select user_id, days_since_last_activity from users where risk_band = ?"
            " and days_since_last_activity between 1 and 27 order by 1 limit 2"
        )
        back, silent = store.execute(query, ("low",)).fetchall()
        risky, _ = store.execute(query, ("high",)).fetchall()
        gone = store.execute("select user_id from users where risk_band = 'gone'").fetchone()
    # how long before the last activity each was contacted
    earlier = {back: 1, silent: 0, risky: 1, (*gone, 10): 0}
    change_store(
        folder,
        "update users set churn_move = null, moved_since = null",
        *(
            f"update users set left_out_because = 'contacted', last_contact_on ="
            f" '{AS_OF - timedelta(days=days + more)}' where user_id = '{user}'"
            for (user, days), more in earlier.items()
        ),
    )
    seal(folder)
    make_current(folder)
    with serving(published_home, tmp_path / "log") as server:
        assert sorted(listed(server, "waiting")) == sorted([silent[0], risky[0]])


def test_a_day_without_data_is_no_return(published_home, tmp_path):
    """Silence counts known days, so after an outage it is shorter than the time since a contact."""
    folder = publish_again(published_home, 1)
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        query = (
            "select user_id, days_since_last_activity from users where risk_band = 'low'"
            " and days_since_last_activity between 2 and 6 order by 1 limit 1"
        )
        user, days = store.execute(query).fetchone()
    last = AS_OF - timedelta(days=days)
    change_store(
        folder,
        "update users set churn_move = null, moved_since = null, last_contact_on = null",
        f"update users set left_out_because = 'contacted', last_contact_on = '{last}',"
        f" days_since_last_activity = {days - 1} where user_id = '{user}'",
    )
    seal(folder)
    make_current(folder)
    with serving(published_home, tmp_path / "log") as server:
        assert listed(server, "waiting") == [user]
        said = " ".join(re.sub("<[^>]+>", " ", server.get("/desk").text).split())
        assert "0 of 1 active since" in said
    contact = {"user_id": user, "treated_at": f"{last}T10:00:00.000", "action": "contacted"}
    (published_home / "contacts").mkdir(exist_ok=True)
    contact = dict.fromkeys(contacts.FIELDS) | contact | {"contact_key": "k"}
    contacts.keep(published_home / "contacts", contact)
    with serving(published_home, tmp_path / "log") as server:
        assert listed(server, "waiting") == [user]


def test_a_form_that_is_sent_twice_records_once(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        first = listed(server, "call")[0]
        assert [send(server, contacted=first).status for _ in range(2)] == [303, 303]
        assert len(kept(published_home)) == 1
        other = send(server, contacted=first, note="changed")
        assert other.status == 409 and "another contact" in other.text
        assert len(kept(published_home)) == 1


def test_form_is_taken_back_whole_or_one_by_one(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        before = listed(server, "call")
        send(server, contacted="", user=before[:2])
        told = send(server, form="1" * 32, contacted=before[2], channel="phone")
        assert 'name="undo" value="' + "1" * 32 in server.get(told.headers["location"]).text
        page = server.get(f"/desk/users/{before[2]}").text
        (key,) = re.findall(r'name="withdrawn" value="([^"]+)"', page)
        assert listed(server, "call") == before[3:]
        for _ in range(2):  # sent twice, it changes nothing more
            told = send(server, form="2" * 32, undo="0" * 32)
            assert told.headers["location"] == "/desk/users?tab=call&done=withdrawn-2"
            assert listed(server, "call") == [*before[:2], *before[3:]]
        assert "2 contacts taken back" in server.get(told.headers["location"]).text
        told = send(server, form="3" * 32, withdrawn=key)
        assert told.headers["location"].endswith("done=withdrawn-1")
        assert listed(server, "call") == before and listed(server, "waiting") == []
        for wrong in ({"undo": "4" * 32}, {"undo": "x"}, {"withdrawn": "x"}):
            told = send(server, form="5" * 32, **wrong)
            assert told.status == 404 and "was not recorded here" in told.text
        assert len(kept(published_home)) == 6


REFUSED = {
    "Select 1 to 200 users first": {"contacted": ""},
    "Load the page again": {"contacted": "u0000001", "form": "short"},
    "no user with this id": {"contacted": "<script>alert(1)</script>"},
    "Snoozed until: a day such as": {"snoozed": "u0000001", "snoozed_until": "2001-01-01"},
    "Campaign: one of spring": {"contacted": "u0000001", "campaign": "autumn"},
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_wrong_form_is_refused_with_what_is_wrong(published_home, tmp_path, said):
    folder = current(published_home)
    rules = json.loads((folder / "manifest.json").read_text())["list"]
    change_manifest(folder, list=rules | {"campaigns": ["spring"]})
    seal(folder)
    with serving(published_home, tmp_path / "log") as server:
        told = send(server, **REFUSED[said])
        assert told.status in (404, 422) and said in told.text
        assert "<script>alert" not in told.text
        assert kept(published_home) == []


def test_other_sites_cannot_record_on_a_server_without_keys(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        first = listed(server, "call")[0]
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "null"},
            {"Origin": "https://elsewhere.example"},
        ):
            assert send(server, headers, contacted=first).status == 403, headers
        assert kept(published_home) == []
        assert send(server, {"Sec-Fetch-Site": "same-origin"}, contacted=first).status == 303
        away = send(server, contacted=listed(server, "call")[0], next="//elsewhere.example/desk")
        assert away.headers["location"].startswith("/desk?done=contacted-1&undo=")


def test_only_writers_record_from_the_desk(keyed):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for role, status in (("reader", 403), ("operator", 403), ("writer", 404)):
        body = urlencode({"key": keyed.key_of[role]})
        told = keyed.server.ask("POST", "/desk/sign-in", body=body, headers=form)
        cookie = {"Cookie": told.headers["set-cookie"].partition(";")[0]}
        # nobody has this id: the shared home must not change
        assert send(keyed.server, cookie, contacted="nobody").status == status, role
        elsewhere = cookie | {"Sec-Fetch-Site": "cross-site"}
        assert send(keyed.server, elsewhere, contacted="nobody").status == 403, role
    assert send(keyed.server, contacted="nobody").status == 401


def test_form_without_a_session_leads_to_the_sign_in_page_and_back(keyed):
    browser = {"Accept": "text/html,application/xhtml+xml"}
    told = send(keyed.server, browser, contacted="nobody")
    assert told.status == 303
    page = keyed.server.get(told.headers["location"])
    assert "the form was not sent" in page.text
    assert 'name="next" value="/desk/users?tab=call"' in page.text
    script = send(keyed.server, {"Accept": "*/*"}, contacted="nobody")
    assert script.status == 401, "the page says it itself"
    away = send(keyed.server, browser, contacted="nobody", next="https://elsewhere.example/")
    assert "elsewhere" not in keyed.server.get(away.headers["location"]).text
    asked = keyed.server.get("/desk/users?tab=waiting&plan=free")
    page = keyed.server.get(asked.headers["location"]).text
    assert 'value="/desk/users?tab=waiting&amp;plan=free"' in page
    assert "the form was not sent" not in page


def test_download_of_the_list_is_the_nightly_file(published_home, tmp_path):
    (nightly,) = current(published_home).glob("churn_top_*.csv")
    with serving(published_home, tmp_path / "log") as server:
        told = list(csv.reader(server.get("/desk/users.csv?tab=call").text.splitlines()))
        assert len(told) == 51
        with nightly.open(encoding="utf-8", newline="") as file:
            assert told == list(csv.reader(file))
        everybody = list(csv.DictReader(server.get("/desk/users.csv").text.splitlines()))
        ranks = [row["list_rank"] for row in everybody if row["list_rank"]]
        assert sorted(ranks, key=int) == [str(rank) for rank in range(1, 51)]


def test_a_version_without_moves_and_candidates_is_still_shown(published_home, tmp_path):
    folder = current(published_home)
    gone = ("churn_move", "moved_since", "contact_history", "left_out_because", "snoozed_until")
    gone += ("last_contact_on", "save_rate", "expected_gain", "expected_gain_low")
    change_store(
        folder,
        "drop index users_list",
        *(f"alter table users drop column {name}" for name in (*gone, "expected_gain_high")),
        *(f"drop table {name}" for name in ("campaign_lift", "save_rates", "churn_top_risk")),
    )
    seal(folder)
    with serving(published_home, tmp_path / "log") as server:
        first, second = listed(server, "call")[:2]
        assert "Newly at risk" not in server.get("/desk").text
        assert send(server, contacted=first).status == 303
        assert listed(server, "call")[0] == second and listed(server, "waiting") == [first]
        for path in (f"/desk/users/{first}", "/desk/results", "/desk/users.csv?tab=waiting"):
            assert server.get(path).status == 200, path
        assert "1</span> of 1 active" not in server.get("/desk").text


def test_contact_that_was_loaded_counts_once():
    here = {"treated_at": "2025-04-30T10:00:00.000", "action": "contacted", "campaign": None}
    here |= {"contact_key": "/1", "note": "at home"}
    stored = {"treated_at": "2025-04-30 10:00:00", "action": "contacted", "note": "at home"}
    stored |= {"campaign": "unnamed", "by": None}
    earlier = stored | {"treated_at": "2025-04-01 10:00:00"}
    assert contacted.history([earlier, stored], [here]) == [here, earlier]
    assert contacted.history([earlier, stored], [], [here]) == [earlier]


def test_contacts_of_one_moment_are_all_shown():
    """Of two campaigns on one day, whose files tell no time."""
    spring = {"treated_at": "2025-04-30 00:00:00", "action": "contacted", "campaign": "spring"}
    summer = spring | {"campaign": "summer"}
    assert contacted.history([spring, summer], []) == [summer, spring]
    here = [one | {"contact_key": f"/{one['campaign']}"} for one in (spring, summer)]
    assert contacted.history([spring], here) == here[::-1]
    assert contacted.history([spring, summer], here[:1], here[1:]) == here[:1]


@needs_chromium
def test_a_form_works_without_javascript(published_home, tmp_path, visit):
    with serving(published_home, tmp_path / "log") as server:
        page = visit(server, java_script_enabled=False, viewport=PHONE).page
        page.goto("/desk")
        first, second = page.locator(".who a").all_inner_texts()[:2]
        page.get_by_role("button", name=f"Contacted {first}").click()
        assert "1 user marked as contacted" in page.get_by_role("status").inner_text()
        assert page.locator(".who a").first.inner_text() == second
        page.goto(f"/desk/users/{second}")
        page.get_by_label("Note").fill("asked for time")
        page.get_by_role("button", name="Snooze").click()
        assert "asked for time" in page.locator(".contacts").inner_text()
        assert {one["action"] for one in kept(published_home)} == {"contacted", "snoozed"}


@needs_chromium
def test_keys_move_select_and_record(published_home, tmp_path, visit):
    with serving(published_home, tmp_path / "log") as server:
        seen = visit(server)
        page = seen.page
        page.goto("/desk/users?tab=call")
        users = page.locator(".who a").all_inner_texts()
        for key in "jjxjxk":
            page.keyboard.press(key)
        assert page.locator(".current .who a").inner_text() == users[1]
        assert page.locator(".chosen-count").inner_text() == "2 selected:"
        page.keyboard.press("c")
        page.get_by_text("1 user marked as contacted").wait_for()
        assert page.locator(".current .who a").inner_text() == users[2], "the next one follows"
        assert [one["user_id"] for one in kept(published_home)] == [users[1]]
        page.keyboard.press("u")
        page.get_by_text("1 contact taken back").wait_for()
        assert page.locator(".who a").all_inner_texts() == users
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("jx")
        assert page.get_by_label("Search by id").input_value() == "jx"
        assert seen.troubles == []


@needs_chromium
def test_saved_views_stay_in_this_browser(published_home, tmp_path, visit):
    with serving(published_home, tmp_path / "log") as server:
        seen = visit(server)
        page = seen.page
        page.goto("/desk/users?tab=call&plan=free&sort=loss")
        page.get_by_label("Save these filters as").fill("<b>free</b>")
        page.get_by_role("button", name="Save view").click()
        page.goto("/desk/users")
        page.keyboard.press("/")
        page.get_by_role("link", name="<b>free</b>").click()
        page.wait_for_url("**tab=call**")
        assert page.get_by_label("Plan").input_value() == "free"
        assert page.get_by_label("Order").input_value() == "loss"
        page.get_by_role("button", name="Remove the view <b>free</b>").click()
        page.reload()
        assert page.locator(".views li").count() == 0
        assert seen.troubles == []


@needs_chromium
def test_the_week_of_a_retention_manager(home, tmp_path, visit):
    """Find whom to call, contact, snooze; a week later see who came back; read the result."""
    score_day(home, date(2025, 3, 19))  # before the campaign of March
    write_campaigns(home)
    with serving(home, tmp_path / "log") as server:
        seen = visit(server)
        page = seen.page
        page.goto("/desk")
        page.get_by_role("link", name="worth a call").click()
        page.wait_for_url("**tab=call**")
        first, second, third, fourth = page.locator(".who a").all_inner_texts()[:4]
        page.get_by_text("Campaign, channel, note").click()
        page.get_by_label("Campaign").fill("may calls")
        page.get_by_label(f"Select {first}").check()
        page.get_by_label(f"Select {second}").check()
        page.get_by_role("button", name="Contacted", exact=True).click()
        page.get_by_text("2 users marked as contacted").wait_for()
        page.get_by_role("link", name=third).click()
        page.get_by_label("Note").fill("on holiday")
        page.get_by_role("button", name="Snooze").click()
        page.get_by_text("1 user snoozed").wait_for()
        page.goto("/desk/users?tab=call")
        assert page.locator(".who a").first.inner_text() == fourth
        assert {one["campaign"] for one in kept(home)} == {"may calls"}

        churnhouse(home, "generate", "--days", 7, "--append")
        churnhouse(home, "daily")
        wait_until(lambda: "2025-05-07" in server.get("/health").text, what="the next version")

        page.goto("/desk")
        lead = page.locator("a.card.lead")
        moved = dict(rows(home, "select move, count(*) from churn_moves group by move"))
        assert lead.locator(".big").inner_text() == str(moved["newly_at_risk"])
        assert "since 30 Apr" in lead.inner_text()
        called, active = rows(
            home,
            "select count(*), count(*) filter (where days_since_last_activity < 5)"
            " from contact_candidates join user_features_latest using (user_id)"
            " where last_contact_on = date '2025-05-02'",
        )[0]
        said = page.locator(".card.wide").inner_text()
        assert f"{active}\nof {called + 2} active since".replace("\n", " ") in " ".join(
            said.split()
        )
        assert "2 too recent to know" in said and f"reached {called}" in said
        page.goto("/desk/users?tab=waiting")
        waiting = rows(
            home,
            "select user_id from contact_candidates left join churn_moves using (user_id)"
            " where last_contact_on > date '2025-04-07' and not"
            " coalesce(move in ('came_back', 'lost') and since > last_contact_on, false)",
        )
        shown = sorted(page.locator(".who a").all_inner_texts())
        assert shown == sorted({third, *(user for (user,) in waiting)})
        assert {first, second} < set(shown) and len(shown) > 3
        page.goto("/desk/users?tab=back")
        back = rows(home, "select user_id from churn_moves where move = 'came_back'")
        assert sorted(page.locator(".who a").all_inner_texts()) == sorted(u for (u,) in back) != []
        page.get_by_role("link", name="Results").click()
        page.wait_for_url("**/desk/results")
        winter = page.get_by_role("row", name="winter")
        names = ("difference", "difference_low", "difference_high", "treated_measured")
        names += ("holdout_measured", "holdout_churn")
        query = f"select {', '.join(names)} from campaign_lift where campaign = 'winter'"
        lift = dict(zip(names, rows(home, query)[0], strict=True))
        assert lift["treated_measured"] > 10
        assert results.lift(lift)["sentence"] in winter.inner_text()
        assert "Not known yet" in page.get_by_role("row", name="may calls").inner_text()
        assert seen.troubles == []


def write_campaigns(home: Path) -> None:
    """Write a file of treatments: a campaign with known outcomes, and calls of the coming week."""
    query = "select user_id from churn_predictions_latest where not in_holdout and is_eligible"
    users = [user for (user,) in rows(home, f"{query} order by risk_rank")]
    told = [(user, "2025-03-20T10:00:00Z", "winter", "no answer") for user in users[60:100]]
    told += [(user, "2025-05-02T10:00:00Z", "call back", "reached") for user in users[10:22]]
    folder = home / "raw" / "treatments"
    folder.mkdir()
    with (folder / "campaigns.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "treated_at", "campaign", "channel", "outcome", "note", "by"])
        writer.writerows(
            [(user, at, name, "phone", out, "", "ana") for user, at, name, out in told]
        )
