"""Loads the published version and answers queries on it."""
