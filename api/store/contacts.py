"""The contacts that people recorded, kept as files that all processes share."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from python_jobs.publication import contacts


class Contacts:
    """All contacts in a folder, by user; new ones are written by `add`.

    Other processes add files too, and `forget` removes some: `refresh` follows the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = 0
        self._known: dict[str, dict[str, Any]] = {}
        self._of: dict[str, list[dict[str, Any]]] = {}

    async def refresh(self) -> None:
        """Read what changed in the folder since the last call."""
        await asyncio.to_thread(self._refresh)

    def _refresh(self) -> None:
        try:
            stamp = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp == self._stamp:
            return
        known = {}
        for path in contacts.files(self._folder):
            with contextlib.suppress(OSError, ValueError):  # the nightly ingest names it
                known[path.name] = self._known.get(path.name) or contacts.read(path)
        of: dict[str, list[dict[str, Any]]] = {}
        for contact in known.values():
            of.setdefault(contact["user_id"], []).append(contact)
        for found in of.values():
            found.sort(key=lambda contact: contact["treated_at"])
        self._known, self._of, self._stamp = known, of, stamp

    async def add(self, contact: dict[str, Any]) -> dict[str, Any] | None:
        """Keep a contact durably; return None, or the earlier contact with its key.

        Raises OSError if it cannot be written.
        """
        earlier = await asyncio.to_thread(self._add, contact)
        self._stamp = 0  # the folder may change twice within a tick of its clock
        await self.refresh()
        return earlier

    def _add(self, contact: dict[str, Any]) -> dict[str, Any] | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        return contacts.keep(self._folder, contact)

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """Return the contacts of a user, the newest last."""
        return self._of.get(user_id, [])

    def waits(self, user_id: str, contacted_after: str, day: str) -> bool:
        """Return whether somebody contacted a user after a day, or snoozed the user beyond `day`.

        Days are ISO dates.
        """
        return any(
            (contact["action"] == "contacted" and contact["treated_at"][:10] > contacted_after)
            or (contact["action"] == "snoozed" and contact["snoozed_until"] > day)
            for contact in self.of(user_id)
        )
