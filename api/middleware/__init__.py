"""Middleware around every request: keys, sessions, rate limits and the log."""
