"""Desk sessions: a signed cookie with the name of a key, never the key itself."""

import hashlib
import hmac
import time

from api.keys import Key, Keys

COOKIE = "churnhouse_session"


class Sessions:
    """Makes and checks sessions. A session ends by age or when its key is removed."""

    def __init__(self, keys: Keys, secret: str, hours: float) -> None:
        self._keys, self._secret, self.seconds = keys, secret.encode(), int(hours * 3600)

    def make(self, key: Key) -> str:
        """Return the cookie's value for the holder of a key."""
        content = f"{key.name}.{int(time.time()) + self.seconds}"
        return f"{content}.{self._sign(content, key)}"

    def holder(self, value: str) -> Key | None:
        """Return the key of a session, or None if it is forged, too old or revoked."""
        name, _, rest = value.partition(".")
        until, _, signature = rest.partition(".")
        key = self._keys.named(name)
        if key is None or not (until.isascii() and until.isdigit()):
            return None
        expected = self._sign(f"{name}.{until}", key)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        return key if time.time() < int(until) else None

    def cookie(self, value: str, *, is_https: bool) -> str:
        """Return the Set-Cookie header; an empty value signs out."""
        age = self.seconds if value else 0
        secure = "; Secure" if is_https else ""
        return f"{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"

    def _sign(self, content: str, key: Key) -> str:
        return hmac.digest(self._secret, f"{content}.{key.sha256}".encode(), hashlib.sha256).hex()
