"""Rows of users: their sessions, the links that begin accounts, and open uploads."""
