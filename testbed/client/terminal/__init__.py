"""The command line `testbed`: a testbed's folder, its server, and a terminal."""
