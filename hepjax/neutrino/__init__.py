"""Neutrino telescopes: from pulses of light in ice and water to directions on the sky."""
