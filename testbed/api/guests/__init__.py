"""Guests, their snapshots, and the answers of commands in them."""
