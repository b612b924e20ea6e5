"""The contacts that people recorded, kept as files that all processes share."""

import asyncio
import contextlib
import time
from datetime import date
from pathlib import Path
from typing import Any

from api.store.publication import Publication
from api.store.threads import Threads
from python_jobs.publication import contacts

TICK_NS = 2_000_000_000
"""A folder that changed so lately may change again without a new time."""

AT_ONCE = 1000
"""So many ids are looked up before other requests get their turn."""


class Contacts:
    """All contacts in a folder, by user; new ones are written by `add`.

    Other processes add files too, and `forget` removes some: `refresh` follows the folder.
    """

    def __init__(self, folder: Path, seconds: float = 10) -> None:
        """Know the folder, which has so many seconds to answer."""
        self._folder, self._seconds = folder, seconds
        self._reading, self._finding, self._writing = Threads(), Threads(most=20), Threads(most=20)
        self._lock = asyncio.Lock()
        self._stamp = 0
        self._known: dict[str, dict[str, Any]] = {}
        self._of: dict[str, list[dict[str, Any]]] = {}
        self._ever: dict[str, list[dict[str, Any]]] = {}
        self._gone: set[str] = set()
        self._persons: dict[str, str] = {}
        self._asked: set[str] = set()
        self._asked_for: dict[str, dict[str, Any]] | None = None
        self._followed = ""
        self._waiting: tuple[str, dict[str, list[dict[str, Any]]], list[str]] | None = None

    async def refresh(self) -> None:
        """Read what changed in the folder since the last call. Raises TimeoutError."""
        async with self._lock:
            await self._reading.call(self._refresh, seconds=self._seconds)

    def _refresh(self) -> None:
        try:
            stamp = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if stamp == self._stamp:
            return
        is_settled = time.time_ns() - stamp > TICK_NS
        known = {}
        for path in contacts.files(self._folder):
            with contextlib.suppress(OSError, ValueError):  # the nightly ingest names it
                known[path.name] = self._known.get(path.name) or contacts.read(path)
        if known.keys() != self._known.keys():
            self._learn(known)
        self._stamp = stamp if is_settled else 0

    def _learn(self, known: dict[str, dict[str, Any]]) -> None:
        """Know these contacts, by the names of their files."""
        self._known = known
        self._of = contacts.by_user(map(self._of_person, contacts.standing(known.values())))
        happened = (one for one in known.values() if one["action"] != contacts.WITHDRAWN)
        self._ever = contacts.by_user(map(self._of_person, happened))
        self._gone = {one["withdraws"] for one in known.values()} - {None}

    def _of_person(self, contact: dict[str, Any]) -> dict[str, Any]:
        """Return a contact under the id that its person has by now."""
        person = self._persons.get(contact["user_id"])
        return contact if person is None else contact | {"user_id": person}

    async def follow(self, publication: Publication) -> None:
        """Count the contacts for the persons whom a version knows by the recorded ids."""
        known = self._known
        if self._followed == publication.version and self._asked_for is known:
            return
        users = {one["user_id"] for one in known.values()}
        if self._followed != publication.version:
            asked, persons = users, {}
        else:
            asked, persons = users - self._asked, self._persons.copy()
        for number, user_id in enumerate(asked):
            person = publication.person_of(user_id)
            if person != user_id:
                persons[user_id] = person
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        async with self._lock:
            if persons != self._persons:
                self._persons = persons
                self._learn(self._known)
            self._followed, self._asked, self._asked_for = publication.version, users, known

    def _know(self, name: str, kept: dict[str, Any]) -> None:
        """Know one more contact. Dicts are made anew: `waiting` sees by that what has changed."""
        self._known = self._known | {name: kept}
        kept = self._of_person(kept)
        user_id, ever = kept["user_id"], self.ever_of(kept["user_id"])
        if kept["action"] == contacts.WITHDRAWN:
            self._gone.add(kept["withdraws"])
        else:
            ever = contacts.by_user([*ever, kept])[user_id]
        left = [one for one in ever if one["contact_key"] not in self._gone]
        others = {user: found for user, found in self._of.items() if user != user_id}
        self._of = others | ({user_id: left} if left else {})
        self._ever = self._ever | ({user_id: ever} if ever else {})

    def with_key(self, key: str) -> dict[str, Any] | None:
        """Return the contact with this key, if it is known here."""
        return self._known.get(contacts.file_name(key))

    async def find(self, key: str) -> dict[str, Any] | None:
        """Return the contact with this key, also if another process kept it just now; or None.

        Raises TimeoutError if the folder does not answer.
        """
        if known := self.with_key(key):
            return known
        path = self._folder / contacts.file_name(key)
        try:
            return await self._finding.call(contacts.read, path, seconds=self._seconds)
        except TimeoutError:  # an OSError too
            raise
        except (OSError, ValueError):
            return None

    async def beginning_with(self, key: str) -> list[dict[str, Any]]:
        """Return the contacts whose keys begin like this, taken back or not.

        Raises TimeoutError if the folder does not answer.
        """
        await self.refresh()
        happened = (one for one in self._known.values() if one["action"] != contacts.WITHDRAWN)
        return [one for one in happened if one["contact_key"].startswith(key)]

    async def add(self, contact: dict[str, Any]) -> dict[str, Any] | None:
        """Keep a contact durably; return None, or the earlier contact with its key.

        Raises OSError if it cannot be written, ValueError if the earlier one cannot be read.
        """
        earlier = await self._writing.call(self._add, contact, seconds=self._seconds)
        kept = earlier or contact
        async with self._lock:  # a listing that began before may not know the file yet
            if self._known.get(name := contacts.file_name(kept["contact_key"])) != kept:
                self._know(name, kept)
            self._stamp = 0
        return earlier

    def _add(self, contact: dict[str, Any]) -> dict[str, Any] | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        return contacts.keep(self._folder, contact)

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """Return the contacts of a user that were not taken back, the newest last."""
        return self._of.get(user_id, [])

    def ever_of(self, user_id: str) -> list[dict[str, Any]]:
        """Return the contacts of a user, also those that were taken back, the newest last."""
        return self._ever.get(user_id, [])

    def taken_back(self, user_id: str) -> list[dict[str, Any]]:
        """Return the contacts of a user that were taken back, the newest last."""
        left = {contact["contact_key"] for contact in self.of(user_id)}
        return [one for one in self.ever_of(user_id) if one["contact_key"] not in left]

    def people(self) -> dict[str, list[dict[str, Any]]]:
        """Return the contacts of everybody who ever had any, by user, the newest last."""
        return self._ever

    def waiting(self, publication: Publication) -> list[str]:
        """Return the users whose contacts keep them off the version's list."""
        if (
            self._waiting is None
            or self._waiting[0] != publication.version
            or self._waiting[1] is not self._of  # each change makes a new dict
        ):
            found = [user for user in self._of if self.waits(publication, user)]
            self._waiting = (publication.version, self._of, found)
        return self._waiting[2]

    def waits(self, publication: Publication, user_id: str) -> bool:
        """Return whether a user's contacts keep the user off the version's list."""
        pause = publication.manifest.get("list", {}).get("contact_pause_days", 0)
        as_of_date = date.fromisoformat(publication.as_of_date)
        return contacts.waits(self.of(user_id), as_of_date, pause, publication.zone)
