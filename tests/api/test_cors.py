"""Web pages of other origins: only named ones may call, with a key and without cookies."""

import shutil
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from support.running import Server, serving

from api import keys

PAGE, OTHER = "https://crm.example.com", "https://evil.example.com"
LOCAL_PAGE = "http://localhost:5173"
FLAGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
"""Playwright answers for the pages, so the browser takes them for public ones."""
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
}


@pytest.fixture(scope="module")
def named(finished_home, tmp_path_factory) -> Iterator[tuple[Server, dict[str, str]]]:
    """Serve with keys, for the pages of PAGE; return the header of a writer's key too."""
    home = tmp_path_factory.mktemp("named")
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    key, line = keys.make("crm", "writer")
    (home / "keys").write_text(line)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURNHOUSE_CORS_ORIGINS", f"{PAGE}, {LOCAL_PAGE}")
        with serving(home, home / "log", keys=home / "keys") as running:
            patch.undo()  # other servers start meanwhile
            yield running, {"Authorization": f"Bearer {key}"}


def allowed(answer) -> str | None:
    return answer.headers.get("access-control-allow-origin")


def test_preflight_of_a_named_origin_passes_without_a_key(named):
    server, _ = named
    asked = server.ask("OPTIONS", "/v1/contacts", headers=PREFLIGHT | {"Origin": PAGE})
    assert (asked.status, allowed(asked)) == (200, PAGE)
    assert "idempotency-key" in asked.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in asked.headers
    refused = server.ask("OPTIONS", "/v1/contacts", headers=PREFLIGHT | {"Origin": OTHER})
    assert (refused.status, allowed(refused)) == (400, None)


@pytest.mark.parametrize("path", ["/v1/predictions?limit=1", "/v1/predictions/nobody"])
def test_answers_and_errors_are_readable_only_by_a_named_origin(named, path):
    server, key = named
    mine = server.ask("GET", path, headers=key | {"Origin": PAGE})
    assert allowed(mine) == PAGE and "Origin" in mine.headers["vary"]
    assert "access-control-allow-credentials" not in mine.headers
    assert allowed(server.ask("GET", path, headers=key | {"Origin": OTHER})) is None
    stranger = server.ask("GET", path, headers={"Origin": PAGE})
    assert (stranger.status, allowed(stranger)) == (401, PAGE)


def test_no_origin_is_named_by_default(keyed):
    server, header = keyed.server, keyed.as_reader() | {"Origin": PAGE}
    answer = server.ask("GET", "/v1/predictions?limit=1", headers=header)
    assert (answer.status, allowed(answer)) == (200, None)
    asked = server.ask("OPTIONS", "/v1/contacts", headers=PREFLIGHT | {"Origin": PAGE})
    assert (asked.status, allowed(asked)) == (401, None)


READ = """async ([url, key]) => {
  const headers = { Authorization: key, "Content-Type": "application/json" };
  const body = JSON.stringify({ user_id: "nobody" });
  try { return (await fetch(url + "/v1/contacts", { method: "POST", headers, body })).status }
  catch { return "refused" }
}"""


def test_browser_lets_only_a_named_page_record(named):
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    server, key = named
    seen = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.route("http://localhost:*/", lambda route: route.fulfill(body="<p>CRM</p>"))
        for origin in (LOCAL_PAGE, "http://localhost:5174"):
            page.goto(f"{origin}/")
            seen[origin] = page.evaluate(READ, [server.url, key["Authorization"]])
        browser.close()
    assert seen == {LOCAL_PAGE: 404, "http://localhost:5174": "refused"}


def test_the_cookie_never_counts_for_a_page_of_a_named_origin(named):
    server, headers = named
    key = headers["Authorization"].removeprefix("Bearer ")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    told = server.ask("POST", "/desk/sign-in", body=urlencode({"key": key}), headers=form)
    cookie = {"Cookie": told.headers["set-cookie"].partition(";")[0]}
    assert server.ask("GET", "/desk", headers=cookie).status == 200
    user = server.ask("GET", "/v1/predictions?limit=1", headers=headers).json["predictions"][0]
    body = urlencode({"form": "0" * 32, "contacted": user["user_id"]})
    for site in ("same-site", "cross-site", None):
        foreign = cookie | {"Origin": PAGE} | ({"Sec-Fetch-Site": site} if site else {})
        told = server.ask("POST", "/desk/contacts", body=body, headers=foreign | form)
        assert told.status == 403
        content = {"user_id": user["user_id"]}
        assert server.ask("POST", "/v1/contacts", content, headers=foreign).status == 403
    foreign = headers | {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    assert server.ask("POST", "/v1/contacts", content, headers=foreign).status == 201
