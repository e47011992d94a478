"""Benchmarks of the whole product, started by script/bench.

Each module is one benchmark with a `main`; `measuring` holds what they share. They
drive the product as a user does and replace no part of it.
"""
