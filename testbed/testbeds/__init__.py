"""A testbed's name, files and plan, and every way to change them."""
