"""The source of a testbed and its fetches, as pages show them."""
