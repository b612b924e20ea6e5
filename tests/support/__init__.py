"""Shared by tests: data, servers and processes."""
