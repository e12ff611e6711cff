"""Jet tagging: from constituents to class probabilities."""
