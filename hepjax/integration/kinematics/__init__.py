"""Momenta: maps to invariants, phase space, channels of a process, scales."""
