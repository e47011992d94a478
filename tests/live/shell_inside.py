"""One process of the product that runs pieces of Python code, one after the other.

Started by tests/live/kept_shell.py. Reads a piece a line, as JSON, and answers with a
line of what the piece printed and of how it failed.
"""

import io
import json
import sys
import traceback
from contextlib import redirect_stdout

import django

django.setup()

from django.core.management.commands.shell import Command  # noqa: E402
from django.db import connections  # noqa: E402


def main() -> None:
    """Run what comes, with the names that `manage.py shell` has."""
    answers, names = sys.stdout, Command().get_namespace(verbosity=0)
    for line in sys.stdin:
        said, failure = io.StringIO(), ""
        with redirect_stdout(said):
            try:
                exec(json.loads(line), dict(names))  # noqa: S102 - the test's own code
            except Exception:  # noqa: BLE001 - the test is told
                failure = traceback.format_exc()
        connections.close_all()
        answers.write(json.dumps([said.getvalue(), failure]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
