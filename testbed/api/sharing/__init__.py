"""The people of a testbed, its end, and what protects it."""
