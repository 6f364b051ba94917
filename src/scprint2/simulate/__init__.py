"""A simulated corpus with known truth."""
