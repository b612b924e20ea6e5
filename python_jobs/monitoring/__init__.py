"""Monitoring: drift, and realised against expected churn."""
