"""Processes of a task on a machine: marking, finding and ending them."""
