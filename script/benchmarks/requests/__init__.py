"""Benchmarks that time single requests and commands: `pages`, `api`, `cli`."""
