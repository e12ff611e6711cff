"""Flavour tagging: which quark made a jet, told by tracks that do not begin at the collision."""
