"""The difference of two states, one module for each kind of object."""
