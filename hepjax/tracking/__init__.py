"""Tracking: from the hits of charged particles in a detector to their tracks."""
