"""Keeps Python's garbage collector off the objects that a process loads at its start.

Modules, models and addresses are some 230,000 objects that stay as long as the process.
A full collection looked at each of them for 0.15 s, and one page in ten waited for it.
The web and each worker call `keep_loaded` once they are loaded.
"""

import gc

# New objects between two collections of the youngest. A large page makes some thousands
# and frees most of them itself: with Python's 700 they were taken for old ones.
YOUNGEST = 10_000


def keep_loaded() -> None:
    """Leave all objects that exist now out of later collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, *gc.get_threshold()[1:])
