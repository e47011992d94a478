"""The kernel of a host: its links, its size, its load."""
