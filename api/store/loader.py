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
from api.metrics import Metrics
from api.settings import ApiSettings
from api.store.checks import BadVersion
from api.store.publication import VERSION, Publication, load
from api.store.threads import Threads
from python_jobs.files import sequence_of

KEPT_OPEN = 3
KEPT_SECONDS = 900
TRIED_INSTEAD = 3
"""Earlier versions that are tried if nothing is served and the newest version is bad."""

PAGE_SECONDS = 10
"""How long a request for the page of a version waits for that version to be loaded."""


class Loader:
    """The loaded version, the few before it, and the last bad one."""

    def __init__(self, settings: ApiSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._published: Path = settings.published
        self._lock = asyncio.Lock()
        self._looking, self._listing = Threads(), Threads()
        self._reading: dict[str, Threads] = {}
        self._open: OrderedDict[str, tuple[Publication, float]] = OrderedDict()
        self.current: Publication | None = None
        self.bad: dict[str, Any] | None = None
        self._bad_until = self._instead_after = 0.0
        self._looked_at = time.monotonic()
        self._pinning: asyncio.Task[str | None] | None = None

    def require(self) -> Publication:
        """Return the version to answer from; raise 503 if there is none."""
        if self.current is None:
            raise not_ready()
        return self.current

    def unchecked_seconds(self) -> float:
        """Return how long ago `current` could last be read."""
        return time.monotonic() - self._looked_at

    async def pinned(self, version: str) -> Publication | None:
        """Return a version by name if it is still open, for a client that began with it."""
        if version not in self._open:  # another worker may have loaded it already
            self._pinning = asyncio.create_task(self.refresh())
            await asyncio.wait({self._pinning}, timeout=PAGE_SECONDS)
        publication, _ = self._open.get(version, (None, 0.0))
        return publication

    async def refresh(self) -> str | None:
        """Serve the version that `current` points to, if it is new and good.

        Returns what is wrong with `current`. Raises TimeoutError if the disk does not answer.
        """
        async with self._lock:
            seconds = self._settings.api_check_seconds
            version = await self._looking.call(self.linked, seconds=seconds)
            self._looked_at = time.monotonic()
            served = self.current
            is_damaged = await self._is_damaged(served) if served else False
            if served and is_damaged:
                self._drop(served)
            self._forget_old()
            await self._follow(version)
            if is_damaged is None and served is self.current:
                raise TimeoutError
            return None if version or not self.current else "published/current names no version"

    async def _follow(self, version: str | None) -> None:
        """Load the version that is current if it is due, or an earlier one if none is served."""
        if version and self.current and self.current.version == version:
            self.bad = None
            return
        if version and self._is_due(version):
            try:
                await self._load(version, linked=version)
            except BadVersion as error:
                self._refuse(version, str(error))
            if self.current and self.current.version == version:
                self.bad = None
        if self.current is None and time.monotonic() >= self._instead_after:
            await self._load_earlier(version)

    def _is_due(self, version: str) -> bool:
        """Return whether a version is to be looked at: a bad one only now and then."""
        is_other = not self.bad or self.bad["version"] != version
        return is_other or time.monotonic() >= self._bad_until

    async def _is_damaged(self, served: Publication) -> bool | None:
        """Return whether a version was damaged since it was loaded; None if its disk hangs."""
        threads, seconds = self._threads_of(served.version), self._settings.api_check_seconds
        if not threads.are_busy:
            with contextlib.suppress(TimeoutError):
                return await threads.call(served.is_damaged, seconds=seconds)
        return None

    def linked(self) -> str | None:
        """Return the version that published/current names now."""
        with contextlib.suppress(OSError):
            name = (self._published / "current").readlink().name
            return name if VERSION.fullmatch(name) else None
        return None

    async def _load(self, version: str, *, linked: str | None) -> None:
        """Load a version and swap it in, or leave it once `current` names another than `linked`.

        Raises BadVersion.
        """
        swapping = asyncio.create_task(self._swap(version))
        seconds = self._settings.api_check_seconds
        try:
            while not swapping.done():
                await asyncio.wait({swapping}, timeout=self._settings.api_reload_seconds)
                if await self._looking.call(self.linked, seconds=seconds) != linked:
                    return  # also if it was pruned during reading
            swapping.result()
        finally:
            swapping.cancel()
            swapping.add_done_callback(_heed)

    async def _load_earlier(self, current: str | None) -> None:
        """Serve the newest good version instead of a current one that is bad."""
        self._instead_after = time.monotonic() + self._settings.api_retry_seconds
        for version in (await self._versions_but(current))[:TRIED_INSTEAD]:
            with contextlib.suppress(BadVersion):
                await self._load(version, linked=current)
                return

    async def _versions_but(self, current: str | None) -> list[str]:
        """Return the other versions on the disk, the newest first.

        Each is asked for its number apart, so that one that hangs delays no other.
        """
        seconds = self._settings.api_check_seconds
        names = await self._listing.call(self._names, seconds=seconds)
        others = [name for name in names if name not in ("current", current)]
        numbers = await asyncio.gather(*map(self._number, others))
        found = [(n, name) for n, name in zip(numbers, others, strict=True) if n is not None]
        return [name for _, name in sorted(found, reverse=True)]

    def _names(self) -> list[str]:
        """Return what may be versions. Nothing in their folders is read."""
        with contextlib.suppress(OSError):
            return [one.name for one in self._published.iterdir() if VERSION.fullmatch(one.name)]
        return []

    async def _number(self, version: str) -> int | None:
        """Return a version's number; None without a manifest, or if its disk hangs."""
        threads, seconds = self._threads_of(version), self._settings.api_check_seconds
        if not threads.are_busy:
            with contextlib.suppress(OSError):  # a TimeoutError is one
                return await threads.call(_number_of, self._published / version, seconds=seconds)
        return None

    async def _swap(self, version: str) -> None:
        """Load a version and serve it. Raises BadVersion."""
        started = time.perf_counter()
        loaded = await self._read(version)
        self._open[version] = (loaded, time.monotonic())
        if self.current:
            self.current.retire()
        self.current = loaded
        self._forget_old()
        self._metrics.reloads.labels("success").inc()
        took = round(time.perf_counter() - started, 3)
        logs.line("reload", result="success", version=version, seconds=took)

    async def _read(self, version: str) -> Publication:
        """Read and verify a version. Raises BadVersion, also while an earlier try still hangs."""
        threads, seconds = self._threads_of(version), self._settings.api_load_seconds
        try:
            key = self._settings.signing_key
            return await threads.call(load, self._published, version, key, seconds=seconds)
        except TimeoutError:
            raise BadVersion(f"it could not be read within {seconds:g} seconds") from None

    def _threads_of(self, version: str) -> Threads:
        """Return the one thread that reads a version's files, so that one that hangs is one."""
        self._reading = {name: one for name, one in self._reading.items() if one.are_busy}
        return self._reading.setdefault(version, Threads(most=1))

    def _drop(self, damaged: Publication) -> None:
        """Stop serving a version whose files were changed in place."""
        self._open.pop(damaged.version, None)
        self.current, self._instead_after = None, 0.0
        self._refuse(damaged.version, "its store was changed on the disk")
        self._bad_until = 0.0

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


def _number_of(folder: Path) -> int | None:
    return sequence_of(folder) if (folder / "manifest.json").exists() else None


def _heed(done: "asyncio.Task[None]") -> None:
    """Take notice of a failure that nobody waits for any more."""
    if not done.cancelled():
        done.exception()


def loader_of(request: Request) -> Loader:
    """Return the loader of the app that answers this request."""
    loader: Loader = request.app.state.loader
    return loader
