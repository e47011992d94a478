"""Rows of how users sign in: their sessions, and the links that begin accounts."""
