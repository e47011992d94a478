"""Commands about a testbed as a whole: its people, files, times and protections."""
