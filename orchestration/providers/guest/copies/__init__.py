"""Copies of files and folders to and from a guest, as one stream."""
