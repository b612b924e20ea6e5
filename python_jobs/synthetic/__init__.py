"""The synthetic e-learning world: a generator with a known truth."""
