"""The acts, by family; `table.py` lists them all."""
