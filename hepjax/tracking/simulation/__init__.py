"""Detectors in the box: events with truth where no simulation of an experiment is at hand."""
