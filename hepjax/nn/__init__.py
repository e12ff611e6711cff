"""Layers that know no physics: normalisation, attention, graphs of neighbours, sets."""
