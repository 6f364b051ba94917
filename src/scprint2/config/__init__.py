"""Configuration trees: strict nodes and overlays; imports no torch."""
