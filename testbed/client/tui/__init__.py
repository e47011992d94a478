"""`testbed tui`: testbeds, guests and runs on the whole terminal, with Textual."""
