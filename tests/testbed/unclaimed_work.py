"""The sentence on pages about work that no worker takes.

Runs and deletions of orphans share its words.
"""

import re
from datetime import timedelta

LONG_AGO = timedelta(hours=1)


def waited_s(shown: str, what: str) -> int:
    """For how long no worker took it, as a page says; 0 when it says nothing."""
    words = rf"No worker has taken this {what} for (?:(\d+) h )?(?:(\d+) min)?(?: ?(\d+)[.\d]* s)?"
    found = re.search(words, shown)
    if found is None:
        return 0
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
