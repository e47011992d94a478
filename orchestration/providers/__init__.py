"""Verbs of one outside system each; no decisions."""
