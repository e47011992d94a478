"""Providers: the verbs of one outside system each, without decisions."""
