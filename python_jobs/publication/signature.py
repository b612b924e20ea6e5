"""Signatures of approvals, of production.json and of manifests.

HMAC-SHA256 (RFC 2104) with the installation's key, over an object as JSON with sorted keys and over
what it is: the signature of one kind of object counts for no other kind.
"""

import hashlib
import hmac
import json
from typing import Any

FIELD = "signature"
NOT_SIGNED = "is not signed with CHURNHOUSE_SIGNING_KEY"


def signed(content: dict[str, Any], kind: str, key: str | None) -> dict[str, Any]:
    """Return an object with its signature; unchanged if there is no key."""
    return content | {FIELD: _signature(content, kind, key)} if key else content


def is_accepted(content: dict[str, Any], kind: str, key: str | None) -> bool:
    """Return whether an object carries the signature of this key; always true without a key."""
    if not key:
        return True
    try:
        expected = _signature(content, kind, key)
        return hmac.compare_digest(str(content.get(FIELD)).encode(), expected.encode())
    except (ValueError, RecursionError):  # what no signature can be of
        return False


def _signature(content: dict[str, Any], kind: str, key: str) -> str:
    parts = [kind, {name: value for name, value in content.items() if name != FIELD}]
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
