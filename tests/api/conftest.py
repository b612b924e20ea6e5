"""Two servers over the same published version: one with keys and one without."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.browsing import CHROMIUM, FLAGS, Visit
from support.running import Server, serving

from api import keys


@pytest.fixture(scope="session")
def server(finished_home: Path, tmp_path_factory) -> Iterator[Server]:
    """Serve what the finished home published, without keys; tests must not change it."""
    home = published_alone(finished_home, tmp_path_factory.mktemp("open"))
    with serving(home, home / "log") as running:
        yield running


@dataclass
class Keyed:
    server: Server
    key_of: dict[str, str]

    @property
    def reader(self) -> str:
        return self.key_of["reader"]

    @property
    def operator(self) -> str:
        return self.key_of["operator"]

    def as_reader(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.reader}"}

    def as_operator(self) -> dict[str, str]:
        return {"X-API-Key": self.operator}


@pytest.fixture(scope="session")
def keyed(finished_home: Path, tmp_path_factory) -> Iterator[Keyed]:
    """Serve what the finished home published, with keys and generous limits."""
    folder = published_alone(finished_home, tmp_path_factory.mktemp("keyed"))
    made = {role: keys.make(f"{role}-1", role) for role in keys.ROLES}
    (folder / "keys").write_text("\n".join(line for _, line in made.values()))
    options = {"keys": folder / "keys", "rate_per_second": 10_000, "burst": 10_000}
    with serving(folder, folder / "log", **options) as running:
        yield Keyed(running, {role: key for role, (key, _) in made.items()})


@pytest.fixture
def published_home(finished_home: Path, tmp_path: Path) -> Path:
    """Return a home that has only its own published folder."""
    return published_alone(finished_home, tmp_path / "home")


def published_alone(finished_home: Path, home: Path) -> Path:
    """Copy only what is published into a home, where servers may keep contacts."""
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    return home


@pytest.fixture(scope="module")  # not longer: Playwright keeps an event loop running
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser) -> Iterator:
    made: list[Visit] = []

    def start(server, **options) -> Visit:
        made.append(Visit(browser, server.url, **options))
        return made[-1]

    yield start
    for one in made:
        one.context.close()
