"""Commands for guests: their form, their start, their answers."""
