"""The rows of reservations: capacity of a host for a time."""
