"""Atomic writing and copying of files."""
