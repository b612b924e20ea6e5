"""The desk in a real browser: a retention manager's tasks, accessibility and security."""

import csv
import io
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.browsing import PHONE, needs_chromium
from support.enriched import enrich
from support.running import serving, wait_until
from support.versions import change_store, current, make_current, publish_again, seal

from api import keys

pytestmark = needs_chromium
PAGES = (
    *("/desk", "/desk/users", "/desk/users?tab=call", "/desk/users?tab=back", "/desk/results"),
    *("/desk/calendar", "/desk/model", "/desk/words", "/desk/users?band=high&sort=silent"),
)


@pytest.fixture(scope="module")
def full(finished_home, tmp_path_factory) -> Iterator:
    """Serve a version that has all optional data."""
    home = tmp_path_factory.mktemp("full")
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    folder = publish_again(home, 1)
    enrich(folder)
    make_current(folder)
    with serving(home, home / "log") as running:
        yield running


def top_user(server) -> dict:
    query = "limit=1&eligible=true&in_holdout=false"
    return server.get(f"/v1/predictions?{query}").json["predictions"][0]


def open_filters(page) -> None:
    page.locator("summary", has_text="Search, filter").click()


def test_from_today_to_the_riskiest_user(full, visit):
    seen = visit(full)
    page, user = seen.page, top_user(full)
    page.goto("/")
    assert page.locator("h1").inner_text() == "Today"
    row = page.get_by_role("row", name=user["user_id"])
    assert user["reasons"][0] in row.inner_text() and row.locator(".spark").count() == 1
    page.get_by_role("link", name=user["user_id"]).click()
    page.wait_for_url(f"**/desk/users/{user['user_id']}")
    assert page.locator("h1").inner_text() == user["user_id"]
    assert page.locator(".why-list li").all_inner_texts() == user["reasons"]
    assert f"{user['churn_risk'] * 100:.1f}%" in page.locator(".score").inner_text()
    assert page.locator("canvas").count() == 2
    assert page.locator(".where").count() > 20
    assert seen.troubles == []


def test_user_list_filters_sorts_and_downloads(full, visit):
    seen = visit(full)
    page = seen.page
    page.goto("/desk/users")
    open_filters(page)
    page.get_by_label("Band").select_option("high")
    page.get_by_label("Plan").select_option("free")
    page.get_by_label("Holdout").select_option("false")
    page.get_by_label("Order").select_option("silent")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**band=high**")
    ids = page.locator("tbody th a:not(.term)").all_inner_texts()
    query = "band=high&plan=free&in_holdout=false&eligible=true&limit=1000"
    expected = full.get(f"/v1/predictions?{query}").json["predictions"]
    assert sorted(ids) == sorted(row["user_id"] for row in expected) != []
    with closing(sqlite3.connect(current(full.log.parent) / "lookup.sqlite")) as store:
        silence = dict(store.execute("select user_id, days_since_last_activity from users"))
    assert [silence[user] for user in ids] == sorted((silence[user] for user in ids), reverse=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert [row["user_id"] for row in csv.DictReader(io.StringIO(text))] == ids
    assert seen.troubles == []


def test_pages_of_the_list_follow_each_other(full, visit):
    seen = visit(full)
    page = seen.page
    page.goto("/desk/users?eligible=any")
    found = page.locator("tbody th a:not(.term)").all_inner_texts()
    while page.get_by_role("link", name="Next").count():
        page.get_by_role("link", name="Next").click()
        page.wait_for_load_state()
        found += page.locator("tbody th a:not(.term)").all_inner_texts()
    assert len(found) == len(set(found)) == 300
    assert seen.troubles == []


def test_an_attribute_named_like_a_parameter_is_no_filter(published_home, tmp_path):
    """The form would send the name twice, which every list refuses."""
    folder = publish_again(published_home, 1)
    names = {"plan": "page", "country": "band"}
    change_store(
        folder, *(f"alter table users rename {old} to {new}" for old, new in names.items())
    )
    for name in ("manifest.json", "features.json"):
        text = (folder / name).read_text()
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        (folder / name).write_text(text)
    seal(folder)
    make_current(folder)
    with serving(published_home, tmp_path / "log") as server:
        wait_until(lambda: server.get("/ready").status == 200, what="the version")
        assert server.get("/health").json["bad_version"] is None
        page = server.get("/desk/users").text
        asked = re.findall(r'<(?:select|input) [^>]*name="(\w+)"', page.split("</form>")[0])
        assert len(asked) == len(set(asked)) and {"band", "marketing_source"} <= {*asked}
        assert 'href="/desk/users?page=' not in server.get("/desk").text
        assert server.get("/v1/predictions?band=high").json["total"] > 0
        document = server.get("/openapi.json").json["paths"]["/v1/predictions"]["get"]
        found = [parameter["name"] for parameter in document["parameters"]]
        assert len(found) == len(set(found))


def test_a_page_beyond_the_last_shows_the_last(full):
    """As after a contact of everybody on the last page."""
    last = full.get("/desk/users?eligible=any&page=6").text
    for beyond in (7, 99999):
        page = full.get(f"/desk/users?eligible=any&page={beyond}").text
        assert re.search(r"251.300 of 300", page) and "Page 6 of 6" in page
        assert page.count('class="who"') == last.count('class="who"') == 50


def test_a_search_counts_pages_and_filters_like_any_list(full):
    table = full.get("/v1/predictions?include=all&limit=1000").json["predictions"]
    begins = table[0]["user_id"][:1]
    found = [row["user_id"] for row in table if row["user_id"].startswith(begins)]
    assert len(found) > 50
    page = full.get(f"/desk/users?tab=call&q={begins}&page=2").text
    assert f"{len(found)} whose id begins with" in page and f"100 of {len(found)}<" in page
    text = full.get(f"/desk/users.csv?q={begins}").text
    assert [row["user_id"] for row in csv.DictReader(io.StringIO(text))] == sorted(found)
    high = [row["user_id"] for row in table if row["risk_band"] == "high"]
    text = full.get(f"/desk/users.csv?q={begins}&band=high&sort=risk").text
    assert [row["user_id"] for row in csv.DictReader(io.StringIO(text))] == high
    assert full.get("/desk/users?q=%00").status == 200


def test_search_opens_the_user_or_lists_ids_with_that_prefix(full, visit):
    page, user = visit(full).page, top_user(full)
    page.goto("/desk/users")
    page.keyboard.press("/")
    page.get_by_label("Search by id").fill(user["user_id"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/desk/users/{user['user_id']}")
    page.goto(f"/desk/users?q={user['user_id'][:6]}")
    assert user["user_id"][:6] in page.locator("tbody th a").first.inner_text()
    page.goto("/desk/users?q=<script>alert(1)</script>")
    assert "Nobody matches" in page.locator("main").inner_text()
    assert "begins with “<script>alert(1)</script>”" in page.locator("main").inner_text()


def test_what_if_scores_again_and_resets(full, visit):
    seen = visit(full)
    page, user = seen.page, top_user(full)
    page.goto(f"/desk/users/{user['user_id']}")
    was = page.locator("#what-if-risk").inner_text()
    page.locator("summary", has_text="Watch minutes").click()
    slider = page.get_by_label("Watch minutes, last 30 days")
    slider.focus()
    with page.expect_response("**/predict") as answered:
        page.keyboard.press("End")  # by keyboard, to the largest value
    sent, answer = answered.value.request.post_data_json, answered.value.json()
    minutes = float(slider.input_value())
    features = {"watch_minutes_30d": minutes}
    assert sent == {"user_id": user["user_id"], "features": features, "explain": True}
    shown = f"{answer['churn_risk'] * 100:.1f}%"
    page.wait_for_function(f"document.getElementById('what-if-risk').textContent === '{shown}'")
    assert shown != was and "points" in page.locator("#what-if-change").inner_text()
    for effect in ("raises", "lowers"):
        told = zip(answer["reasons"], answer["effects"], strict=True)
        expected = [reason for reason, moves in told if moves == effect]
        assert page.locator(f"#what-if-why [data-effect={effect}] li").all_inner_texts() == expected
    page.get_by_role("button", name="Reset").click()
    assert page.locator("#what-if-why").is_hidden()
    assert page.locator("#what-if-risk").inner_text() == was
    assert seen.troubles == []


def test_what_if_moves_along_what_belongs_together(full, visit):
    """Each slider at both ends, for the riskiest and the safest: nobody becomes impossible."""
    seen = visit(full)
    page = seen.page
    query = "eligible=true&in_holdout=false&limit=1000"
    users = full.get(f"/v1/predictions?{query}").json["predictions"]
    refused = []
    for user in (users[0], users[-1]):
        page.goto(f"/desk/users/{user['user_id']}")
        page.evaluate("document.querySelectorAll('.levers').forEach(one => { one.open = true; })")
        for name in page.locator(".lever input").evaluate_all("all => all.map(one => one.name)"):
            lever = page.locator(f".lever input[name='{name}']")
            for key, end in (("End", "max"), ("Home", "min")):
                if float(lever.input_value()) == float(lever.get_attribute(end)):
                    continue
                with page.expect_response("**/predict") as answered:
                    lever.press(key)
                if answered.value.status != 200:
                    refused.append((user["user_id"], name, key, answered.value.json()["detail"]))
                page.get_by_role("button", name="Reset").click()
    assert refused == []


def test_what_if_leaves_a_new_user_who_never_came_new(full, visit):
    """Without any activity the silence counts from signup, so no window makes it longer."""
    page = visit(full).page
    page.goto(f"/desk/users/{top_user(full)['user_id']}")
    silent = page.evaluate(
        """() => {
            const levers = [...document.querySelectorAll(".lever input")];
            const named = (name) => levers.find((one) => one.name === name);
            for (const one of levers) one.value = 0;
            for (const name of ["days_since_last_activity", "tenure_days"]) named(name).value = 3;
            named("logins_7d").dispatchEvent(new Event("input", { bubbles: true }));
            return ["days_since_last_activity", "tenure_days"].map((name) => named(name).value);
        }"""
    )
    assert silent == ["3", "3"]


def test_what_if_says_why_the_server_refuses(full, visit):
    page, user = visit(full).page, top_user(full)
    page.goto(f"/desk/users/{user['user_id']}")
    slider = page.get_by_label("Days since last activity")
    slider.evaluate("slider => { slider.name = 'no_such_feature'; }")
    with page.expect_response("**/predict") as answered:
        slider.press("Home")
    assert answered.value.status == 422
    page.get_by_text(answered.value.json()["detail"]).wait_for()
    assert page.locator("#what-if-risk").inner_text() == "\N{EN DASH}"


def test_what_if_offers_the_values_of_an_attribute(full, visit):
    """The user's own value is chosen, one more stands for all others, and Reset goes back."""
    seen = visit(full)
    page, user = seen.page, top_user(full)
    page.goto(f"/desk/users/{user['user_id']}")
    page.locator("summary", has_text="Attributes").click()
    plan = page.locator("#what-if").get_by_label("Plan")
    assert sorted(plan.locator("option").all_inner_texts()) == ["basic", "free", "other", "premium"]
    own = plan.input_value()
    assert own == user["attributes"]["plan"]
    chosen = "premium" if own != "premium" else "free"
    with page.expect_response("**/predict") as answered:
        plan.select_option(chosen)
    sent, answer = answered.value.request.post_data_json, answered.value.json()
    assert sent == {"user_id": user["user_id"], "features": {"plan": chosen}, "explain": True}
    shown = f"{answer['churn_risk'] * 100:.1f}%"
    page.wait_for_function(f"document.getElementById('what-if-risk').textContent === '{shown}'")
    page.get_by_role("button", name="Reset").click()
    assert plan.input_value() == own
    assert page.locator("#what-if-change").inner_text() == "as published"
    assert seen.troubles == []


def test_model_page_shows_drift_and_leads_to_the_report(full, visit):
    seen = visit(full)
    page = seen.page
    page.goto("/desk/model")
    assert "in production" in page.locator("tr.chosen").inner_text()
    assert page.locator(".strip td.cell").count() > 50
    assert "30\nApr" in page.locator(".strip thead").first.locator("th").last.inner_text()
    policy = full.get("/desk/model/report").headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy
    page.get_by_role("link", name="open the report").click()
    assert page.locator("h1").inner_text() == "Model card"
    assert page.locator("#out").inner_text() == "drawn"
    assert seen.troubles == []


def test_results_speak_in_plain_words(full, visit):
    page = visit(full).page
    page.goto("/desk/results")
    said = page.locator("main").inner_text()
    for text in (
        "21 of 100 fewer left; between 13 and 29.",
        "Too few to tell: of 10 contacted, between 4 fewer and 2 more left;",
        "Not known yet",
        "1,200 (300 to 2,100)",
        "too few to tell: about 260 more contacts needed",
        "a contact by the list kept 1,110 more, \N{MINUS SIGN}90 to 2,310 on the same users;"
        " that may be chance.",
        "340 contacts with an outcome, at least 260 are missing to learn whom they keep.",
    ):
        assert text in said, text


def test_holdout_has_no_buttons_on_lists(full, visit):
    page = visit(full).page
    page.goto("/desk/users?tab=all&in_holdout=true")
    rows = page.locator(".people tbody tr:not(.shared)").count()
    assert rows > 10 and page.locator(".people .act", has_text="holdout").count() == rows
    assert page.locator(".people button.do, .people .pick input").count() == 0
    page.goto("/desk/users?tab=all&in_holdout=false")
    assert page.locator(".people button.do").count() == page.locator(".people .pick input").count()
    assert page.locator(".people button.do").count() > 10


def test_today_tells_where_the_loss_is(server, visit):
    """The values of each attribute add up to the expected loss above them."""
    page = visit(server).page
    page.goto("/desk")
    shown = page.locator(".card", has_text="Expected loss").locator(".big").inner_text()
    total = float(shown.replace(",", ""))
    groups = page.locator("details", has=page.locator(".losses"))
    assert groups.count() == 3
    for group in groups.all():
        cells = group.locator("tbody td:nth-of-type(3)").all_text_contents()
        assert sum(float(cell.replace(",", "")) for cell in cells) == pytest.approx(total, rel=0.01)
        leave = [int(cell) for cell in group.locator("td:nth-of-type(2)").all_text_contents()]
        assert sum(leave) == pytest.approx(total / 100, abs=len(leave))  # each is worth 100
    page.get_by_role("link", name="premium").click()
    page.wait_for_url("**/desk/users?plan=premium")


def test_calendar_shows_each_coming_week(full, visit):
    page = visit(full).page
    page.goto("/desk/calendar")
    first = page.locator("tbody tr").first
    assert (
        "1 May \N{EN DASH} 7 May" in first.inner_text()
        and "6.4 (3.9 to 10.4)" in first.inner_text()
    )
    bar = first.locator("svg").first
    assert bar.locator("rect.leavers").get_attribute("width") == "61.5"  # of the largest bound
    assert bar.locator("path").get_attribute("d") == "M37.5 1v10M37.5 6H100.0M100.0 1v10"


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_of_a_page_is_cut_off(full, visit, width):
    """Tables of the pages for managers fit; wide tables for analysts scroll inside their panel."""
    page = visit(full, viewport={"width": width, "height": 900}).page
    for path in ("/desk", "/desk/users?tab=call", "/desk/results", "/desk/model"):
        page.goto(path)
        wide = page.evaluate(
            "[...document.querySelectorAll('main table')].filter(t => t.scrollWidth > 1 +"
            " (t.closest('.scroll, .panel').clientWidth)).map(t => t.className)"
        )
        assert set(wide) <= ({"metrics"} if width == 390 else set()), path
    newest = page.locator(".strip").first.locator("tbody tr").first.locator("td").last
    box = newest.bounding_box()
    assert box["x"] + box["width"] <= width


def test_no_table_of_the_report_is_cut_off_on_a_wide_screen(server, visit):
    page = visit(server, viewport={"width": 1440, "height": 900}).page
    page.goto("/desk/model/report")
    widths = page.evaluate(
        "[...document.querySelectorAll('.table')].map(t => t.scrollWidth - t.clientWidth)"
    )
    assert len(widths) > 5 and set(widths) == {0}


def test_a_phone_shows_ten_users_within_two_screens(full, visit):
    page = visit(full, viewport=PHONE).page
    page.goto("/desk/users?tab=call")
    tenth = page.locator(".people tbody tr").nth(9).bounding_box()
    assert tenth["y"] + tenth["height"] < 2 * PHONE["height"]
    assert all(r.bounding_box()["height"] < 80 for r in page.locator(".people tbody tr").all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(full, server, visit, scheme):
    from axe_playwright_python.sync_playwright import Axe

    serious = []
    user = f"/desk/users/{top_user(full)['user_id']}"
    tour = [(full, None, [*PAGES, user, "/desk/users/nobody"]), (server, None, ["/desk", user])]
    if scheme == "light":
        phone = ["/desk", "/desk/users?band=medium", "/desk/results", "/desk/calendar", user]
        tour.append((full, PHONE, phone))
    for over, size, paths in tour:
        options = {"viewport": size} if size else {}
        page = visit(over, color_scheme=scheme, bypass_csp=True, **options).page
        for path in paths:
            page.goto(path)
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            for found in Axe().run(page).response["violations"]:
                if found["impact"] in ("serious", "critical"):
                    serious.append((path, found["id"], found["nodes"][0]["html"][:200]))
    assert serious == []


def test_a_phone_never_scrolls_sideways(full, visit):
    page = visit(full, viewport=PHONE).page
    for path in (*PAGES, f"/desk/users/{top_user(full)['user_id']}"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


def test_the_theme_can_be_chosen_and_stays(full, visit):
    page = visit(full, color_scheme="light").page
    page.goto("/desk")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.goto("/desk/users")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_pages_say_what_is_not_published_yet(server, visit):
    seen = visit(server)
    for path in (*PAGES, f"/desk/users/{top_user(server)['user_id']}"):
        assert seen.page.goto(path).status == 200
    seen.page.goto("/desk/model")
    assert seen.troubles == []


def test_unknown_users_and_unknown_addresses_get_a_page(full, visit):
    page = visit(full).page
    for path in ("/desk/users/nobody", "/desk/nowhere"):
        assert page.goto(path).status == 404
        assert page.locator("h1").inner_text() == "That is not here"
    assert page.goto("/desk/users?plan=free&colour=red").status == 422


def test_page_without_published_data_says_what_to_do(tmp_path, visit):
    with serving(tmp_path / "empty", tmp_path / "log") as empty:
        page = visit(empty).page
        for path in ("/desk", "/desk/users", "/desk/results", "/desk/calendar", "/desk/users/u1"):
            assert page.goto(path).status == 503
            assert page.locator("h1").inner_text() == "Nothing is published yet"


def test_desk_announces_a_refused_version(published_home, tmp_path, visit):
    with serving(published_home, tmp_path / "log") as running:
        bad = publish_again(published_home, 2)
        (bad / "golden.json").write_text("{}")
        make_current(bad)
        page = visit(running).page
        page.goto("/desk")
        for _ in range(50):
            page.goto("/desk")
            if page.locator(".banner").count():
                break
        assert "A newer version was refused" in page.locator(".banner").inner_text()


def test_with_keys_a_person_signs_in_and_out(keyed, visit):
    seen = visit(keyed.server)
    page, user = seen.page, None
    page.goto("/desk/users?band=high")
    assert page.locator("h1").inner_text() == "Sign in"
    model = keyed.server.ask("GET", "/v1/model", headers=keyed.as_reader()).json["model_version"]
    assert model not in page.content(), "a stranger learns nothing"
    page.get_by_label("API key").fill("ch_wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "not known" in page.get_by_role("alert").inner_text()
    seen.troubles.clear()  # the browser logs the 401 itself
    page.get_by_label("API key").fill(keyed.reader)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/desk/users?**")
    (cookie,) = seen.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    assert keyed.reader not in cookie["value"] and keys.hash_of(keyed.reader) not in cookie["value"]
    assert model in page.content()
    user = page.locator("tbody th a").first.inner_text()
    button = page.get_by_role("button", name=f"Contacted {user}")
    assert button.is_disabled() and "role writer" in page.locator("#no-right").inner_text()
    page.goto(f"/desk/users/{user}")
    with page.expect_response("**/predict") as answered:
        page.get_by_label("Tenure days").press("End")
    assert answered.value.status == 200  # the session also works for /predict from the desk
    page.get_by_role("button", name="Sign out").click()
    page.goto("/desk")
    assert page.locator("h1").inner_text() == "Sign in"
    assert seen.troubles == []


def test_other_sites_cannot_act_for_a_signed_in_person(keyed):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"key={keyed.reader}&next=https://elsewhere.example/"
    answer = keyed.server.ask("POST", "/desk/sign-in", body=body, headers=form)
    assert (answer.status, answer.headers["location"]) == (303, "/desk")
    cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
    ask = keyed.server.ask
    elsewhere = cookie | {"Sec-Fetch-Site": "cross-site"}
    assert ask("POST", "/predict", {"user_id": "x"}, headers=elsewhere).status == 403
    assert ask("POST", "/predict", {"user_id": "x"}, headers=cookie).status == 422
    assert ask("GET", "/metrics", headers=cookie).status == 403


def test_pages_carry_security_headers(server):
    headers = server.get("/desk").headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_csv_cells_that_look_like_formulas_are_escaped():
    from api.desk.people import _line

    assert _line(["=1+1", "-x", "plain", -3, ""]) == "'=1+1,'-x,plain,-3,\r\n"


def test_static_files_are_those_of_the_package_only(server):
    assert server.get("/desk/static/desk.css").headers["content-type"].startswith("text/css")
    for path in ("../render.py", "%2e%2e/render.py", "vendor/../../render.py", "nothing.js"):
        assert server.get(f"/desk/static/{path}").status == 404
