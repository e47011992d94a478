"""A client of the web, for the command line, the demo and tests."""
