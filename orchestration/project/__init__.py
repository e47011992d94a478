"""A testbed's folder: the user's files, the keys, the state, and what a state is built from."""
