"""The published version in memory: loading it, and asking it."""
