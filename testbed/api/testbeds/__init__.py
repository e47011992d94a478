"""Testbeds, their files, and the trash."""
