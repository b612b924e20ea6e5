"""Loads the served version and watches for the next one.

A request reads `current` once and uses only that, so no answer mixes two versions. A new version
is verified in a thread, then swapped in by one assignment. The last few versions stay open for
clients that are paging through a list.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from fastapi import Request

from api import logs
from api.http.errors import not_ready
from api.keys import Keys
from api.metrics import Metrics
from api.settings import ApiSettings
from api.store.contacts import Contacts
from api.store.publication import VERSION, BadVersion, Publication, load

KEPT_OPEN = 3
KEPT_SECONDS = 900


class Loader:
    """The loaded version, the few before it, and the last bad one."""

    def __init__(self, settings: ApiSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._published: Path = settings.published
        self._lock = asyncio.Lock()
        self._open: OrderedDict[str, tuple[Publication, float]] = OrderedDict()
        self.current: Publication | None = None
        self.bad: dict[str, Any] | None = None
        self._bad_until = 0.0

    def require(self) -> Publication:
        """Return the version to answer from; raise 503 if there is none."""
        if self.current is None:
            raise not_ready()
        return self.current

    async def pinned(self, version: str) -> Publication | None:
        """Return a version by name if it is still open, for a client that began with it."""
        if version not in self._open:
            await self.refresh()  # another worker may have loaded it already
        publication, _ = self._open.get(version, (None, 0.0))
        return publication

    async def watch(self, keys: Keys | None, contacts: Contacts) -> None:
        """Check for a new version, changed keys and new contacts until cancelled."""
        keys_are_good = True
        while True:
            if keys and keys.refresh() != keys_are_good:
                keys_are_good = not keys_are_good
                logs.line("keys_readable" if keys_are_good else "keys_unreadable")
            try:
                await self.refresh()
            except Exception as error:  # no error may stop the watch
                logs.line("reload_error", kind=type(error).__name__)
            try:
                await contacts.refresh()
            except OSError as error:
                logs.line("contacts_unreadable", kind=type(error).__name__)
            await asyncio.sleep(self._settings.api_reload_seconds)

    async def refresh(self) -> None:
        """Serve the version that `current` points to, if it is new and good."""
        async with self._lock:
            version = self.linked()
            self._forget_old()
            if version is None or (self.current and self.current.version == version):
                self.bad = None if version else self.bad
                return
            if self.bad and self.bad["version"] == version and time.monotonic() < self._bad_until:
                return
            started = time.perf_counter()
            try:
                loaded = await asyncio.to_thread(load, self._published, version)
            except BadVersion as error:
                if self.linked() == version:  # otherwise it was pruned during reading
                    self._refuse(version, str(error))
                return
            self._swap(loaded, time.perf_counter() - started)

    def linked(self) -> str | None:
        """Return the version that published/current names now."""
        with contextlib.suppress(OSError):
            name = (self._published / "current").readlink().name
            return name if VERSION.fullmatch(name) else None
        return None

    def _swap(self, loaded: Publication, seconds: float) -> None:
        self._open[loaded.version] = (loaded, time.monotonic())
        if self.current:
            self.current.retire()
        self.current, self.bad = loaded, None
        self._forget_old()
        self._metrics.reloads.labels("success").inc()
        logs.line("reload", result="success", version=loaded.version, seconds=round(seconds, 3))

    def _refuse(self, version: str, reason: str) -> None:
        self.bad = {"version": version, "reason": reason}
        self._bad_until = time.monotonic() + self._settings.api_retry_seconds
        self._metrics.reloads.labels("failure").inc()
        logs.line("reload", result="failure", version=version, reason=reason)

    def _forget_old(self) -> None:
        """Retire old versions; a request that still uses one keeps it open."""
        now, newest = time.monotonic(), next(reversed(self._open), None)
        for version, (_, since) in list(self._open.items()):
            too_many = len(self._open) > KEPT_OPEN
            if version != newest and (too_many or now - since > KEPT_SECONDS):
                del self._open[version]


def loader_of(request: Request) -> Loader:
    """Return the loader of the app that answers this request."""
    loader: Loader = request.app.state.loader
    return loader
