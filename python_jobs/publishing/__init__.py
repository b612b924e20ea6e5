"""Publishing: immutable versions under published/, and what they say."""
