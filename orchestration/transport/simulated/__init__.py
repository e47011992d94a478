"""A simulated machine: its files, network, image store and shell."""
