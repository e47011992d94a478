"""Testbed hosts: added, checked, observed."""
