"""The commands, one subject a module; `program.py` has their table."""
