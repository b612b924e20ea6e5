"""The holdout: users who should not be contacted, so that a campaign's lift can be measured."""

import hashlib


def in_holdout(user_id: str, share: float) -> bool:
    """Return True for a share (0 to 1) of users, by hash of user_id; same as macro in_holdout."""
    if share >= 1:
        return True
    digest = hashlib.md5(f"holdout:{user_id}".encode(), usedforsecurity=False).hexdigest()
    return digest[:8] < f"{int(share * 2**32):08x}"
