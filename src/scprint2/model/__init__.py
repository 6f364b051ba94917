"""The model: slots filled by components."""
