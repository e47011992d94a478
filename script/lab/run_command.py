"""Runs one command of a testbed through the product's own websocket, and shows it.

Called by script/demo: `run_command.py URL USER PASSWORD_FILE TESTBED COMMAND [FOLDER]`.
With FOLDER a missing testbed is created from it. The exit status is 0 when the run
succeeded, 130 when it was cancelled, else 1.
"""

import sys
from pathlib import Path

from testbed.client.api import Client, Refused
from testbed.client.screen import Screen, say


def main(arguments: list[str]) -> int:
    """Sign in, create when needed, run, report."""
    url, user, password_file, slug, command, *folder = arguments
    client = Client(url)
    try:
        client.sign_in(user, Path(password_file).read_text().strip())
        if folder and not client.has_testbed(slug):
            client.create_testbed(slug, Path(folder[0]))
            say(f"  created testbed {slug}")
        run = client.start(slug, command)
        status = client.drive(run, Screen(run.instructions).show)
    except Refused as exc:
        say(f"Error: {exc}", to=sys.stderr)
        return 1
    finally:
        client.close()
    say(f"  {command} {status}: {url}/runs/{run.number}/")
    return {"succeeded": 0, "cancelled": 130}.get(status, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
