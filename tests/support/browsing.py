"""A real browser, and visits that fail a test if a page logs an error or calls another host."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no /usr/bin/chromium here: apt-get install chromium"
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
PHONE = {"width": 390, "height": 844}


class Visit:
    """A page that fails the test if it logs an error or calls another host."""

    def __init__(self, browser, url: str, **options) -> None:
        self.context = browser.new_context(base_url=url, accept_downloads=True, **options)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, url))

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(message.text)

    def _asked(self, address: str, home: str) -> None:
        if not address.startswith((home, "data:", "blob:")):
            self.troubles.append(f"asked {address}")
