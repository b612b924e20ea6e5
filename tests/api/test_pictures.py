"""Every page after nine weeks of campaigns, at two widths, light and dark.

`PICTURES=folder pytest -m nightly tests/api/test_pictures.py` keeps the pictures to look at.
"""

import os
from pathlib import Path

import pytest
from support.browsing import needs_chromium
from support.homes import churnhouse
from support.running import serving

pytestmark = [pytest.mark.nightly, needs_chromium]
WEEKS = 9
TABS = ("new", "call", "waiting", "back", "all")
PAGES = {
    "today": "/desk",
    **{f"users-{tab}": f"/desk/users?tab={tab}" for tab in TABS},
    "results": "/desk/results",
    "calendar": "/desk/calendar",
    "model": "/desk/model",
    "words": "/desk/words",
}
FREE = {"model": {390}}
"""Pages with tables for analysts, which scroll inside their panel at these widths."""
CUT_OFF = """
    [...document.querySelectorAll('main table')]
        .filter(table => table.scrollWidth > 1 + table.closest('.scroll, .panel').clientWidth)
        .map(table => table.className)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Return a home in which a team worked off nine lists of its own."""
    home = tmp_path_factory.mktemp("weeks") / "data"
    churnhouse(home, "generate", "--users", 1500, "--campaigns")
    churnhouse(home, "run", "--time-budget", 0)
    for _ in range(WEEKS):
        churnhouse(home, "generate", "--days", 7, "--append", "--from-list")
        churnhouse(home, "daily")
    return home


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_team_at_work_are_whole(world, visit, tmp_path, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    with serving(world, tmp_path / "log") as server:
        size = {"width": width, "height": 900}
        seen = visit(server, color_scheme=scheme, bypass_csp=True, viewport=size)
        user = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
        for name, path in {**PAGES, "user": f"/desk/users/{user}"}.items():
            seen.page.goto(path)
            seen.page.wait_for_load_state("networkidle")
            seen.page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
            if seen.page.evaluate("document.documentElement.scrollWidth") > width:
                wrong.append((name, "wider than its window"))
            if width not in FREE.get(name, ()):
                wrong += [(name, "cut off", table) for table in seen.page.evaluate(CUT_OFF)]
            for found in Axe().run(seen.page).response["violations"]:
                if found["impact"] in ("serious", "critical"):
                    wrong.append((name, found["id"], found["nodes"][0]["html"][:200]))
        results = server.get("/desk/results").text
    assert wrong == []
    assert seen.troubles == []
    assert "fewer left" in results or "Too few to tell" in results
