"""Programs and copies of `exec` in one guest, with their answers."""
