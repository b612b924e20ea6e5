"""Around every request: keys, sessions, limits and the log."""
