"""Reasons: which ones move a user's risk, and how to say them. Imports only numpy."""
