"""`testbed`: the commands, and the one place where a failure becomes an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from orchestration.errors import TestbedError
from testbed.client.terminal.exits import (
    CANCELLED,
    FAILED,
    READER_LEFT,
    code_of,
    show_problem,
)
from testbed.client.terminal.lazy import LazyGroup, Table
from testbed.client.terminal.options import Settings, common

_ROOM = "testbed.client.terminal.commands"
COMMANDS: Table = {
    "login": (f"{_ROOM}.login:login", "Sign in at a server with an API token."),
    "logout": (f"{_ROOM}.login:logout", "Forget the token of a server."),
    "init": (f"{_ROOM}.init:init", "Make a testbed's folder from an example."),
    "check": (f"{_ROOM}.check:check", "Check the YAML, without a server."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "obj": None},
    epilog="`testbed COMMAND --help` has the options of a command. Exit codes: 0 done, "
    "1 failed, 2 wrong use, 3 refused, 130 cancelled.",
)
@click.version_option(package_name="testbed", prog_name="testbed")
@common
def program() -> None:
    """Testbeds of guests on several hosts, from a terminal."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    chosen = Settings()
    try:
        found = program.main(
            arguments, prog_name="testbed", standalone_mode=False, obj=chosen
        )
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("Cancelled.\n")
        return CANCELLED
    except TestbedError as exc:
        show_problem(exc, is_json=chosen.is_json)
        return code_of(exc)
    except BrokenPipeError:  # `| head` closed the pipe; Python flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except OSError as exc:
        show_problem(_words_of(exc), is_json=chosen.is_json)
        return FAILED
    return found if isinstance(found, int) else 0


def main() -> None:
    """Run the words of this process."""
    sys.exit(run())


def _words_of(exc: OSError) -> TestbedError:
    where = f"{exc.filename}: " if exc.filename else ""
    return TestbedError(f"{where}{exc.strerror or exc}.")


if __name__ == "__main__":
    main()
