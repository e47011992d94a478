"""The record of who did what, and the counts of attempts to sign in."""
