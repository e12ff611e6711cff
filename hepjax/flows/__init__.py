"""Normalizing flows: densities that are learned, and can be drawn from."""
