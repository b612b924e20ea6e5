"""Publishing: write immutable versions under published/, and read their status."""
