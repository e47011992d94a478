"""Transports: commands and files on this machine, over SSH or simulated."""
