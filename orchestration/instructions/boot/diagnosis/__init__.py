"""Finds the reason why a guest is not reachable: the first layer that fails."""
