"""The list of testbeds: the wish that an address has, its testbeds, and their rows."""
