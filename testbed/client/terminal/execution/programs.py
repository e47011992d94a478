"""`exec`, `push` and `fetch`: commands and copies in guests, with folded answers."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import click

from testbed.client.answers import has_success, show_answers, show_failures
from testbed.client.board.shown import JsonLines
from testbed.client.rest.addresses import path_of
from testbed.client.screen import Lines
from testbed.client.terminal.execution.unpacking import require_empty, take_fetched
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.following import Follower
from testbed.client.terminal.options import Command, common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import print_json
from testbed.client.watching import Frame

# The server takes at most 2 MiB of JSON.
MOST_INPUT_BYTES = 1024**2
_AS_FILE = "Push it, and name it in the command."


def conditions(command: Command) -> Command:
    """Give a command the conditions that programs in guests run under."""
    for option in reversed(_CONDITIONS):
        command = option(command)
    return command


_CONDITIONS = (
    click.option("--as", "user", default="", help="An account there."),
    click.option("--sudo", is_flag=True, help="As root."),
    click.option(
        "--timeout",
        type=int,
        help="Seconds for each guest, 3600 unless given; none for a tool.",
    ),
    click.option(
        "--parallel", type=int, default=0, help="At most so many guests at once."
    ),
    click.option("--in-order", is_flag=True, help="In groups of --parallel."),
    click.option("--stop-after", type=int, default=0, help="Failures that end it."),
)


def program(command: Command) -> Command:
    """Give a command the options that say what runs, and under which conditions."""
    for option in reversed(_PROGRAM):
        command = option(command)
    return conditions(command)


_PROGRAM = (
    click.option("--shell", is_flag=True, help="The words are one line for /bin/sh."),
    click.option(
        "--script",
        type=click.Path(path_type=Path),
        help="Run this file of this machine.",
    ),
    click.option("--file", "path", default="", help="Run this file of the testbed."),
    click.option("--hosts", is_flag=True, help="GUESTS are hosts; for lab admins."),
    click.option(
        "--tool", is_flag=True, help="Run it until Ctrl+C, and show its lines."
    ),
    click.option("--env", multiple=True, metavar="NAME=VALUE", help="Set a variable."),
    click.option("--directory", default="", help="The full path where it runs."),
    click.option(
        "--stdin",
        type=click.File("rb"),
        help="A file as its standard input, of 1 MiB at most; - is this terminal's.",
    ),
)


class _WithWords(click.Command):
    """A command whose last words are those of another program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words. Raises: NoSuchOption, with the place of the program's own."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            words = "Write `--` before a command that has options of its own."
            raise click.NoSuchOption(
                exc.option_name, f"{exc.message} {words}", exc.possibilities, exc.ctx
            ) from exc


@click.command("exec", cls=_WithWords)
@click.argument("guests")
@click.argument("words", nargs=-1)
@program
@common
def execute(guests: str, words: tuple[str, ...], **options: Any) -> int:
    """Run a command in GUESTS, as web-[0-3], web-*, @all or @failed.

    Write the command behind `--`. Equal answers are printed once. The exit code is 1
    when it failed on a guest.
    """
    return driven("exec", execution_of(guests, words, options))


@click.command()
@click.argument("guests")
@click.argument("path")
@click.argument("target")
@conditions
@common
def push(guests: str, path: str, target: str, **more: object) -> int:
    """Copy the testbed's file or folder PATH to TARGET, a full path, in GUESTS."""
    wish = {"form": "push", "path": path, "target": target}
    return _copied(guests, wish, more)


@click.command()
@click.argument("guests")
@click.argument("path")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Download what arrived into this new or empty folder of this machine.",
)
@conditions
@common
def fetch(guests: str, path: str, to: Path | None, **more: object) -> int:
    """Copy PATH, a full path, of GUESTS to the run's fetched files on the server.

    With `--to` they are downloaded, too: FOLDER gets a folder for each guest, or stays
    as it was.
    """
    if to is not None:
        require_empty(to)
    return _copied(guests, {"form": "fetch", "path": path}, more, to=to)


def execution_of(guests: str, words: tuple[str, ...], options: Frame) -> Frame:
    """Return the body of `exec` that the options of `program` make. Raises: WrongUse."""
    stdin: BinaryIO | None = options.pop("stdin")
    env, directory = options.pop("env"), options.pop("directory")
    hosts, is_tool = options.pop("hosts"), options.pop("tool")
    chosen = {name: options.pop(name) for name in ("script", "path")}
    wish = _program(words, is_line=options.pop("shell"), **chosen)
    more = {
        "env": dict(map(pair, env)),
        "folder": directory,
        "stdin": _input(stdin) if stdin else "",
    }
    return {
        **wish,
        "targets": "hosts" if hosts else "guests",
        "tool": is_tool,
        "selection": guests,
        "conditions": more | _conditions(options, is_tool=is_tool),
    }


def driven(
    place: str, body: Frame, *, is_tool: bool | None = None, to: Path | None = None
) -> int:
    """Start a command in guests, and print its answers; return the exit code.

    `place` is the address below the testbed; `to` gets the files of a fetch.
    """
    is_tool = bool(body.get("tool")) if is_tool is None else is_tool
    with session() as one:
        is_json = one.settings.is_json
        run = one.server.start(path_of(one.testbed, place), body)
        follower = Follower(one.server, run, _Tool(is_json) if is_tool else _Quiet())
        code = follower.drive()
        answers = one.server.get(f"/runs/{run.number}/answers")
        if is_json:
            print_json(answers)
        elif is_tool:
            show_failures(answers, stopped_is_failed=False)
        else:
            show_answers(answers)
            show_failures(answers)
        if to is not None and follower.end and has_success(answers):
            take_fetched(one.server, run.number, to)
    return code


def _copied(guests: str, wish: Frame, more: Frame, *, to: Path | None = None) -> int:
    body = {**wish, "selection": guests, "conditions": _conditions(more)}
    return driven("exec", body, to=to)


class _Quiet(JsonLines):
    """Shows nothing: the answers are printed at the end."""

    def show(self, frame: Frame) -> None:
        """Take a frame."""


class _Tool(JsonLines):
    """Shows the lines of a tool as they come, each behind its guest."""

    def __init__(self, is_json: bool) -> None:
        self._lines = Lines(sys.stderr if is_json else sys.stdout)

    def show(self, frame: Frame) -> None:
        """Print the line of a frame that has one."""
        self._lines.show(frame)


def _program(
    words: tuple[str, ...], *, is_line: bool, script: Path | None, path: str
) -> Frame:
    """Return what runs. Raises: WrongUse (two of them, or none)."""
    if sum((is_line, script is not None, bool(path))) > 1:
        raise WrongUse("Two programs are named.", hint="Use one of the options.")
    if script is not None:
        return {"form": "script", "text": _text(script), "words": list(words)}
    if path:
        return {"form": "script", "path": path, "words": list(words)}
    if not words:
        raise WrongUse("There is no command.", hint="Write it behind --.")
    if is_line:
        return {"form": "shell", "words": [" ".join(words)]}
    return {"form": "command", "words": list(words)}


def _text(script: Path) -> str:
    with suppress(UnicodeDecodeError):
        return script.read_text(encoding="utf-8")
    raise WrongUse(f"{script} is no text in UTF-8.", hint=_AS_FILE)


def _input(stdin: BinaryIO) -> str:
    """Return what a program gets as its standard input. Raises: WrongUse."""
    data = stdin.read(MOST_INPUT_BYTES + 1)
    if len(data) > MOST_INPUT_BYTES:
        raise WrongUse("The standard input is above 1 MiB.", hint=_AS_FILE)
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    raise WrongUse("The standard input is no text in UTF-8.", hint=_AS_FILE)


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise WrongUse(f"{text} sets no variable.", hint="Write NAME=VALUE.")
    return name, value


def _conditions(more: Frame, *, is_tool: bool = False) -> Frame:
    """Return the conditions; a tool has no limit unless one is given."""
    timeout = more.pop("timeout")
    usual = 0 if is_tool else 3600
    return {**more, "timeout_s": usual if timeout is None else timeout}
