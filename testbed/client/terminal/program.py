"""`testbed`: the commands, and the one place where a failure becomes an exit code."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from orchestration.errors import TestbedError
from testbed.client.terminal.exits import (
    CANCELLED,
    FAILED,
    READER_LEFT,
    code_of,
    show_problem,
)
from testbed.client.terminal.lazy import LazyGroup, ReaderLeft, Table
from testbed.client.terminal.options import Settings, common

_ROOM = "testbed.client.terminal.commands"
_OWN = "testbed.client.terminal.account"
_RUN = "testbed.client.terminal.execution"
_GUEST = "testbed.client.terminal.guests"
_LAB = "testbed.client.terminal.testbeds"
COMMANDS: Table = {
    "login": (f"{_ROOM}.login:login", "Sign in at a server with an API token."),
    "logout": (f"{_ROOM}.login:logout", "Forget the token of a server."),
    "init": (f"{_ROOM}.init:init", "Make a testbed's folder from an example."),
    "check": (f"{_ROOM}.check:check", "Check the YAML, without a server."),
    "plan": (f"{_ROOM}.planning:plan", "Show what a command would do."),
    "diff": (f"{_ROOM}.planning:diff", "Show what up would change."),
    "sync": (f"{_ROOM}.sync:sync", "Bring the folder's files to the server."),
    "generate-artefacts": (
        f"{_ROOM}.runs:generate_artefacts",
        "Write the artefacts, touch no host.",
    ),
    "clear-artefacts": (
        f"{_ROOM}.runs:clear_artefacts",
        "Erase disks and artefacts.",
    ),
    "up": (f"{_ROOM}.runs:up", "Bring the testbed up."),
    "down": (f"{_ROOM}.runs:down", "Stop the testbed; its disks stay."),
    "status": (f"{_ROOM}.status:status", "Show the testbed and its guests."),
    "logs": (f"{_ROOM}.watching:logs", "Print the log of a run."),
    "runs": (f"{_ROOM}.watching:runs", "List the testbed's runs."),
    "cancel": (f"{_ROOM}.watching:cancel", "Cancel a run."),
    "attach": (f"{_ROOM}.watching:attach", "Follow a run to its end."),
    "testbeds": (
        f"{_LAB}.testbeds:testbeds",
        "List, make, change, share and destroy testbeds.",
    ),
    "artefacts": (f"{_LAB}.artefacts:artefacts", "List and download artefacts."),
    "schedules": (f"{_LAB}.schedules:schedules", "Set when snapshots are taken."),
    "source": (f"{_LAB}.source:source", "Let files come from a Git repository."),
    "record": (f"{_LAB}.record:record", "Show who did what to a testbed."),
    "trash": (f"{_LAB}.trash:trash", "List, restore and remove what was deleted."),
    "exec": (f"{_RUN}.programs:execute", "Run a command in guests."),
    "push": (f"{_RUN}.programs:push", "Copy files of the testbed to guests."),
    "fetch": (
        f"{_RUN}.programs:fetch",
        "Copy files of guests to the server, or here.",
    ),
    "commands": (f"{_RUN}.saved:commands", "List, save and run saved commands."),
    "capture": (f"{_RUN}.captures:capture", "Capture packets into a file."),
    "answers": (f"{_RUN}.results:answers", "Print the answers of a command."),
    "fetched": (f"{_RUN}.results:fetched", "Download what a run fetched."),
    "packets": (f"{_RUN}.results:packets", "Download what a run captured."),
    "power": (f"{_GUEST}.power:power", "Start and stop guests."),
    "recreate": (f"{_GUEST}.power:recreate", "Make guests anew from their images."),
    "check-guest": (f"{_GUEST}.power:check_guest", "Check whether a guest is reached."),
    "load": (f"{_GUEST}.loads:load", "Show the load of a guest or host."),
    "ssh": (f"{_GUEST}.entering:ssh", "Log in to a guest."),
    "snapshot": (f"{_ROOM}.snapshots:snapshot", "Keep guests, and restore them."),
    "images": (f"{_OWN}.images:images", "List, save and delete images of guests."),
    "ssh-keys": (f"{_OWN}.ssh_keys:ssh_keys", "List, add and remove your SSH keys."),
    "reservations": (
        f"{_OWN}.reservations:reservations",
        "List, make, change and cancel reservations.",
    ),
    "groups": (f"{_OWN}.groups:groups", "Show groups, and change their members."),
    "notifications": (
        f"{_OWN}.notifications:notifications",
        "Read notifications, and choose their ways.",
    ),
    "tokens": (f"{_OWN}.api_tokens:tokens", "List and revoke your API tokens."),
    "quota": (f"{_OWN}.quota:quota", "Show what you use of what you may."),
    "console": (f"{_GUEST}.entering:console", "Open a guest's console."),
    "hosts": (f"{_ROOM}.lab:hosts", "List the hosts that run guests."),
    "extend": (f"{_ROOM}.lab:extend", "Let the testbed end later."),
    "tui": (
        "testbed.client.tui.command:tui",
        "Show testbeds, guests and runs on the whole terminal.",
    ),
    "completion": (f"{_ROOM}.shell:completion", "Print a shell's completion."),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "obj": None},
    epilog="`testbed COMMAND --help` has the options of a command. Exit codes: 0 done, "
    "1 failed, 2 wrong use, 3 refused, 130 cancelled.",
)
@click.version_option(None, "--version", "-V", package_name="testbed")
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
    except (ReaderLeft, BrokenPipeError):  # `| head` closed the pipe
        _drop_output()
        return READER_LEFT
    except OSError as exc:
        show_problem(_words_of(exc), is_json=chosen.is_json)
        if exc.filename is None:
            _drop_output()
        return FAILED
    except UnicodeError:
        show_problem(_NOT_UTF_8, is_json=chosen.is_json)
        return FAILED
    return found if isinstance(found, int) else 0


def main() -> None:
    """Run the words of this process."""
    sys.exit(run())


def former() -> None:
    """Run the words of a process that was started as `kvm-compose`."""
    sys.stderr.write("`kvm-compose` is `testbed` now.\n")
    main()


def _drop_output() -> None:
    """Let what Python writes at its end go nowhere: it would fail once more."""
    with suppress(OSError):  # a test's output is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_NOT_UTF_8 = TestbedError(
    "A name or a text is not in UTF-8.", hint="Write it in UTF-8, and try again."
)


def _words_of(exc: OSError) -> TestbedError:
    where = f"{exc.filename}: " if exc.filename else ""
    hint = _HINTS.get(exc.errno or 0, "See the file and its folder, and try again.")
    return TestbedError(f"{where}{exc.strerror or exc}.", hint=hint)


_HINTS = {
    errno.ENOSPC: "Free some space on the disk, and try again.",
    errno.EDQUOT: "Free some of your space on the disk, and try again.",
    errno.EACCES: "See whose file it is, and what you may do with it.",
    errno.EROFS: "Use a folder in which you may write.",
}


if __name__ == "__main__":
    main()
