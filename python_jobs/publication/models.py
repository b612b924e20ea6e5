"""Kinds of models by name, as every surface shows them."""

RULES = ("recency", "frequency", "rfm_logistic")
"""Simple rules, of which the best is published where no trained candidate ranks better."""


def in_words(estimator: str) -> str:
    """Return a kind of model in words; a rule is named as one."""
    words = estimator.replace("_", " ").replace("rfm", "RFM")
    if estimator in RULES:
        return f"{words} (a simple rule, until a trained model ranks better)"
    return words
