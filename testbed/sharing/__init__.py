"""Sharing testbeds with users and groups, and giving them to other owners."""
