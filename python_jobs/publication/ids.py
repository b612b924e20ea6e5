"""What a user's id may be: the same rule at ingest (macros/measures/longest_id.sql) and lookup."""

import re

LENGTH = 256
"""Most characters of an id."""
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


def is_id(value: object) -> bool:
    """Return True if a value can be a user's id: a text, not too long, in one line."""
    return (
        isinstance(value, str) and 0 < len(value) <= LENGTH and not CONTROL_CHARACTERS.search(value)
    )
