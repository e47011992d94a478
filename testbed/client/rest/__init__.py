"""A client of the REST API under `/api/v1/`, with a token, and without Django."""

import sys

# httpx has a command line of its own, whose rich and pygments take a third of the time
# in which `testbed status` starts. It does without it where the module is not there.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type] # Python's way to say so
