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

ROLES = ("reader", "writer", "operator")
"""A writer may do what a reader may, and record contacts; an operator, and read /metrics."""

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
    """The keys of a file. A changed file is read again; a broken one is ignored."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp, self._keys = self._read()

    def refresh(self) -> bool:
        """Read the file again if it changed; False if it is broken and the old keys stay."""
        try:
            if _stamp(self._path) != self._stamp:
                self._stamp, self._keys = self._read()
        except (OSError, JobError):
            return False
        return True

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
            stamp, text = _stamp(self._path), self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise JobError(
                f"The file of API keys, {self._path}, cannot be read.",
                next_step="make it with `python -m api.keys NAME ROLE >> FILE`.",
            ) from None
        return stamp, parse(text, self._path)


def parse(text: str, path: Path) -> list[Key]:
    """Parse the keys; JobError names the number of an invalid line, never its content."""
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or match[1] in {key.name for key in keys}:
            what = "names a key twice" if match else "is not name:role:sha256"
            raise JobError(
                f"Line {number} of {path} {what}.",
                next_step=f"correct it; roles are {' and '.join(ROLES)}.",
            )
        keys.append(Key(*match.groups()))
    if not keys:
        raise JobError(
            f"{path} holds no API key.",
            next_step="make one with `python -m api.keys NAME ROLE >> FILE`.",
        )
    return keys


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
