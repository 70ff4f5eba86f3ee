"""Wiring: the parts of a running monitor, in the order they start and end."""
