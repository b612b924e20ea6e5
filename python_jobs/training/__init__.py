"""Training: features and labels in, a judged and calibrated model out."""
