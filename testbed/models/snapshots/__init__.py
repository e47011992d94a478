"""Rows about snapshots of the whole lab: each one in a list, and the acts that wait."""
