"""Things on the hosts that belong to no testbed: found, listed, deleted, adopted."""
