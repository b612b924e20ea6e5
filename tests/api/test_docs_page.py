"""The reference page: complete, made from the document, and good to read on any screen."""

import html
import re

from support.browsing import CHROMIUM, needs_chromium


def tags_removed(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_every_route_is_explained_with_all_that_the_document_says(server):
    document, page = server.get("/openapi.json").json, server.get("/docs").text
    parts = {
        found[1]: tags_removed(found[0])
        for found in re.finditer(r'(?s)<section[^>]* id="(\w+)">.*?</section>', page)
    }
    routes = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert parts.keys() == {operation["operationId"] for *_, operation in routes} | {"shapes"}
    for method, path, operation in routes:
        said = parts[operation["operationId"]]
        assert f"{method.upper()} {path}" in said and operation["summary"] in said
        assert f"$URL{path.replace('{user_id}', 'u0000185')}" in said
        for parameter in operation.get("parameters", []):
            assert f" {parameter['name']} " in said
            assert parameter.get("description", "").replace("`", "") in said
        for status, response in operation["responses"].items():
            assert f"{status} {response['description']}" in said or status.startswith("2")
    for name in document["components"]["schemas"]["Features"]["properties"]:
        assert f" {name} " in parts["shapes"]


def test_links_inside_the_page_lead_somewhere(server):
    page = server.get("/docs").text
    ids = re.findall(r' id="([^"]+)"', page)
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert len(ids) == len(set(ids)) and links - set(ids) == set() and "Prediction" in links


def test_page_is_open_and_keeps_to_the_policy(keyed):
    answer = keyed.server.get("/docs")
    assert answer.status == 200 and "Authorization: Bearer $KEY" in html.unescape(answer.text)
    assert "script-src 'self'; style-src 'self'" in answer.headers["content-security-policy"]
    writer = re.search(r'(?s)id="record_contact">.*?</section>', answer.text)
    assert writer and ">writer</span>" in writer[0]
    reader = re.search(r'(?s)id="list_contacts">.*?</section>', answer.text)
    assert reader and ">reader</span>" in reader[0]
    assert keyed.server.get("/docs/x").status == 401


def test_page_is_there_before_a_version_is(tmp_path):
    from support.running import serving

    with serving(tmp_path / "nothing", tmp_path / "log") as server:
        assert "/v1/changes" in server.get("/docs").text


@needs_chromium
def test_page_reads_well_on_a_phone_and_in_the_dark(server):
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    troubles, serious = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (390, 1440):
            for scheme in ("light", "dark"):
                size = {"width": width, "height": 900}
                page = browser.new_page(viewport=size, color_scheme=scheme)
                page.on("console", lambda message: troubles.append(message.text))
                page.goto(f"{server.url}/docs")
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                said = page.locator("#predict dd").evaluate_all(
                    "all => all.map(e => e.getBoundingClientRect().width)"
                )
                assert said and min(said) > 200
                assert page.locator(".contents").evaluate("e => getComputedStyle(e).position") == (
                    "static" if width == 390 else "sticky"
                )
                page.close()
                page = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)
                page.goto(f"{server.url}/docs")
                found = Axe().run(page).response["violations"]
                serious += [v["id"] for v in found if v["impact"] in ("serious", "critical")]
                page.close()
        browser.close()
    assert (troubles, serious) == ([], [])
