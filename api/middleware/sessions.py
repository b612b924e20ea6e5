"""Desk sessions: a signed cookie with the name of a key, never the key itself.

Sign-out is kept in a folder that all replicas share, as a file named by a hash of the session.
"""

import contextlib
import hashlib
import hmac
import re
import secrets
import time
from pathlib import Path

from api.keys import Key, Keys

COOKIE = "churnhouse_session"
NAME = re.compile(r"[0-9]{1,12}-[0-9a-f]{32}")
"""Of the file of an ended session."""


def cookie_name(is_https: bool) -> str:
    """Return the cookie's name; browsers take one with this prefix over TLS alone."""
    return f"__Host-{COOKIE}" if is_https else COOKIE


class Sessions:
    """Makes and checks sessions. One ends at sign-out, by age, or when its key is removed."""

    def __init__(self, keys: Keys, secret: str, hours: float, ended: Path) -> None:
        self._keys, self._secret, self.seconds = keys, secret.encode(), int(hours * 3600)
        self._folder = ended
        self._ended: frozenset[str] = frozenset()

    def make(self, key: Key) -> str:
        """Return the cookie's value for the holder of a key."""
        content = f"{key.name}.{int(time.time()) + self.seconds}-{secrets.token_hex(16)}"
        return f"{content}.{self._sign(content, key)}"

    def holder(self, value: str) -> Key | None:
        """Return the key of a session, or None if it is forged, too old, ended or revoked."""
        name, _, rest = value.partition(".")
        mark, _, signature = rest.partition(".")
        key = self._keys.named(name)
        if key is None:
            return None
        expected = self._sign(f"{name}.{mark}", key)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        until = int(mark.partition("-")[0])
        return key if time.time() < until and _file_name(mark) not in self._ended else None

    def end(self, value: str) -> None:
        """End a session for every replica. Raises OSError if only this process will know."""
        if self.holder(value) is None:
            return
        name = _file_name(value.split(".")[1])
        self._ended |= {name}
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).touch()

    def refresh(self) -> None:
        """Learn which sessions others ended; forget those that are over by age."""
        found, now = set(), time.time()
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                if not NAME.fullmatch(file.name):
                    continue
                if int(file.name.partition("-")[0]) < now:
                    with contextlib.suppress(OSError):  # whatever it is, it ends no session
                        file.unlink()
                else:
                    found.add(file.name)
        mine = {name for name in self._ended if int(name.partition("-")[0]) >= now}
        self._ended = frozenset(found | mine)

    def cookie(self, value: str, *, is_https: bool) -> str:
        """Return the Set-Cookie header; an empty value signs out."""
        age = self.seconds if value else 0
        secure = "; Secure" if is_https else ""
        pair = f"{cookie_name(is_https)}={value}"
        return f"{pair}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    def _sign(self, content: str, key: Key) -> str:
        return hmac.digest(self._secret, f"{content}.{key.sha256}".encode(), hashlib.sha256).hex()


def _file_name(mark: str) -> str:
    """Return the file of an ended session: when it would end by age, and a hash of its mark."""
    return f"{mark.partition('-')[0]}-{hashlib.sha256(mark.encode()).hexdigest()[:32]}"
