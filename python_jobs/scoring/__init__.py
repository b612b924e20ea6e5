"""Scoring: a risk and its reasons for every user of a day."""
