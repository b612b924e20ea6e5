"""HTTP itself: bodies, answers, errors and their description."""
