"""Losses: pure functions of the outputs of views."""
