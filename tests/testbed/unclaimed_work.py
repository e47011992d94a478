"""The sentence on pages about work that no worker takes.

Runs and deletions of orphans share its words.
"""

import re
from datetime import timedelta

LONG_AGO = timedelta(hours=1)


def waited_s(shown: str, what: str) -> int:
    """For how long no worker took it, as a page says; 0 when it says nothing."""
    found = re.search(rf"No worker has taken this {what} for (\d+) s", shown)
    return int(found[1]) if found else 0
