"""The pages of commands for guests, as values."""
