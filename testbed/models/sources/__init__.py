"""Rows of the Git repositories from which testbeds' files come, and of each fetch."""
