"""Neutrino telescopes: from pulses of light to a posterior of the direction that is calibrated."""
