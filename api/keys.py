"""API keys: a file with one `name:role:sha256` per line, written by `python -m api.keys`.

A key is 32 random bytes, so a plain sha256 is enough. The key is shown once, to the person who
made it, and is never stored.
"""

import hashlib
import hmac
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from python_jobs.errors import JobError
from python_jobs.files import read_bounded

ROLES = ("reader", "writer", "operator")
"""A writer may do what a reader may, and record contacts; an operator, and read /metrics."""

LARGEST = 16 * 2**20
"""Bytes of the file."""

Stamp = tuple[int, int, int]
"""When a file was written, its size and its inode: what tells that it changed."""

LINE = re.compile(r"([a-z0-9][a-z0-9_-]{0,39}):(reader|writer|operator):([0-9a-f]{64})")


@dataclass(frozen=True)
class Key:
    """The holder's name, role and hash; not the key itself."""

    name: str
    role: str
    sha256: str

    def may(self, role: str) -> bool:
        """Return whether this key opens routes of a role."""
        return role in ("reader", self.role)


class Keys:
    """The keys of a file. A changed file is read again, and only what it says now counts.

    A file that is gone, empty or unreadable holds no keys: whoever removed one must be sure of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None
        self._stamp, self._keys = self._read()
        self._problem: str | None = None

    def refresh(self) -> str | None:
        """Read the file again if it changed; return what is wrong with it."""
        try:
            if _stamp(self._path) == self._stamp:
                return self._problem
            self._stamp, text = _stamp(self._path), read_bounded(self._path, LARGEST).decode()
            self._keys, wrong = _sorted_out(text)
        except (OSError, UnicodeDecodeError):
            return self.revoke("its file cannot be read; no key is accepted")
        lines = ", ".join(map(str, wrong))
        self._problem = f"lines of its file do not count: {lines}" if wrong else None
        if not self._keys:
            self._problem = "its file holds no key; no key is accepted"
        return self._problem

    def revoke(self, problem: str) -> str:
        """Accept no key until the file can be read again; return the problem."""
        self._stamp, self._keys, self._problem = None, [], problem
        return problem

    def find(self, presented: str) -> Key | None:
        """Return the key with this text; compare every hash, each in constant time."""
        digest = hash_of(presented)
        match = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                match = key
        return match

    def named(self, name: str) -> Key | None:
        """Return the key that a signed session names, if it still exists."""
        return next((key for key in self._keys if key.name == name), None)

    def _read(self) -> tuple[Stamp, list[Key]]:
        try:
            stamp, text = _stamp(self._path), read_bounded(self._path, LARGEST).decode()
        except (OSError, UnicodeDecodeError):
            raise JobError(
                f"The file of API keys, {self._path}, cannot be read.",
                next_step="make it with `python -m api.keys NAME ROLE >> FILE`.",
            ) from None
        return stamp, parse(text, self._path)


def parse(text: str, path: Path) -> list[Key]:
    """Parse the keys; JobError names the number of an invalid line, never its content."""
    keys, wrong = _sorted_out(text)
    for number, what in wrong.items():
        raise JobError(
            f"Line {number} of {path} {what}.",
            next_step=f"correct it; roles are {' and '.join(ROLES)}.",
        )
    if not keys:
        raise JobError(
            f"{path} holds no API key.",
            next_step="make one with `python -m api.keys NAME ROLE >> FILE`.",
        )
    return keys


def _sorted_out(text: str) -> tuple[list[Key], dict[int, str]]:
    """Return the keys, and what is wrong with other lines, by number."""
    keys: list[Key] = []
    wrong: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            wrong[number] = "is not name:role:sha256"
        elif match[1] in {key.name for key in keys}:
            wrong[number] = "names a key twice"
        else:
            keys.append(Key(*match.groups()))
    return keys, wrong


def make(name: str, role: str) -> tuple[str, str]:
    """Return a new key and its line for the file."""
    key = f"ch_{secrets.token_urlsafe(32)}"
    line = f"{name}:{role}:{hash_of(key)}"
    if not LINE.fullmatch(line):
        raise ValueError(f"names are small letters, digits, - and _; roles are {ROLES}")
    return key, line


def hash_of(key: str) -> str:
    """Return the hash of a key, as stored in the file."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def main(arguments: list[str]) -> int:
    """Print the file's line on standard output and the key on standard error."""
    try:
        name, role = arguments
        key, line = make(name, role)
    except ValueError as error:
        usage = f"usage: python -m api.keys NAME {'|'.join(ROLES)} >> FILE ({error})"
        print(usage, file=sys.stderr)
        return 1
    print(line)
    print(f"Key of {name} ({role}), shown this once: {key}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
