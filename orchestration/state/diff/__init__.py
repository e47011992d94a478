"""The difference of two states, one module for each sort of thing."""
