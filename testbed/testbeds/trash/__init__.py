"""Deleted testbeds and files, until they are brought back or removed."""
