"""What the inside of a guest reads at its start, and is told afterwards."""
