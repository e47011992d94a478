"""A testbed's folder: the user's files, keys, states, and the inputs of a state."""
