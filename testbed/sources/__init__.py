"""Fetches testbeds' files from Git repositories, on request and after a push."""
