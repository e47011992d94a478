"""The end of testbeds that are up: set, extended, announced, and done by the sweeper."""
