"""Rows of the checks that a new host has to pass."""
