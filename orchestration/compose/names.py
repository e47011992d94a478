"""The longest name of a machine, and a name that is close to any words. Pure.

Apart from the rules, since the command line names a folder's testbed so at each start.
"""

import re

NAME_LIMIT = 40


def suggest_name(name: str) -> str:
    """Return a valid machine name that is close to `name`, or ''."""
    dashed = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return dashed[:NAME_LIMIT].rstrip("-")
