"""A folder on this machine and the files of its testbed on the server, kept the same."""
