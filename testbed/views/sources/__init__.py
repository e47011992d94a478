"""The page of a testbed's source, its fetches, and the address that forges call."""
