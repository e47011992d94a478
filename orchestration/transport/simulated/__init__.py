"""A machine that only rehearses: its files, network, image store and shell."""
