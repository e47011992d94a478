"""What belongs to no testbed: found, listed, deleted, adopted."""
