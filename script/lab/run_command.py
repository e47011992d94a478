"""Runs one command of a testbed as the command line does, and shows it.

Called by script/demo: `run_command.py URL ACCOUNT/NAME COMMAND [EXAMPLE]`, with an API
token in TESTBED_TOKEN. With EXAMPLE a missing testbed is made of it, and one that is
there keeps its files. The exit status is 0 when the run succeeded, 130 when it was
cancelled, else 1.
"""

import os
import sys

from orchestration.errors import TestbedError
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.rest.server import Server
from testbed.client.screen import say
from testbed.client.terminal.following import drive


def main(arguments: list[str]) -> int:
    """Make the testbed when needed, run, report."""
    url, testbed, command, *example = arguments
    with Server(url, os.environ["TESTBED_TOKEN"]) as server:
        try:
            if example:
                _make_missing(server, testbed, example[0])
            run = server.start(path_of(testbed, "runs"), {"command": command})
            say(f"  {command}: {url}/runs/{run.number}/")
            return drive(server, run, is_json=False)
        except TestbedError as exc:
            say(f"Error: {exc} {exc.hint}".rstrip(), to=sys.stderr)
            return 1


def _make_missing(server: Server, testbed: str, example: str) -> None:
    try:
        server.get(path_of(testbed))
    except NotThere:
        name = testbed.rpartition("/")[2]
        server.send("POST", "/testbeds", {"name": name, "example": example})
        say(f"  created testbed {testbed}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
