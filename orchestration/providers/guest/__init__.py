"""Data that a guest reads at its start, and changes to it while it runs."""
