"""`python -m testbed.client URL exec TESTBED GUESTS -- COMMAND…`: commands in guests.

`push TESTBED GUESTS PATH TARGET` and `fetch TESTBED GUESTS PATH` copy files, `power VERB
TESTBED GUESTS` starts and stops guests, `snapshot VERB TESTBED GUEST NAME` keeps and
restores one or all, `image save TESTBED GUEST NAME` saves one as an image, `up TESTBED`
and its like change a testbed, `reservation make FROM UNTIL` keeps a host's capacity.
Signs in, starts the run,
drives it, and prints the folded answers, or how each guest fared. The exit code is 0
when it succeeded on all guests, 130 when it was cancelled, else 1. A tool's output is
printed as it comes.
"""

import argparse
import getpass
import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from websockets.exceptions import WebSocketException

from orchestration.errors import ExecutionRefused
from orchestration.plan.power import VERBS
from testbed.client import snapshots
from testbed.client.answers import has_success, show_answers, show_failures
from testbed.client.api import (
    Client,
    Declined,
    Frame,
    OnFrame,
    Refused,
    StartedRun,
)
from testbed.client.changes import (
    add_changes,
    agreement,
    delete,
    extend,
    protect,
    restore,
    show_trash,
    started,
)
from testbed.client.images import (
    add_copy,
    add_images,
    delete_image,
    list_images,
    save_image,
)
from testbed.client.reservations import (
    add_reservations,
    cancel_reservation,
    list_reservations,
    make_reservation,
)
from testbed.client.screen import Lines, Screen, say

SUCCEEDED, FAILED, CANCELLED = 0, 1, 130
CODES = {"succeeded": SUCCEEDED, "cancelled": CANCELLED}


def main(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    options = _parsed(arguments)
    client = Client(options.url, agrees=agreement(options))
    try:
        client.sign_in(options.user, _password(options))
        if options.form in _ACTS:
            _ACTS[options.form](client, options)
            return SUCCEEDED
        return _RUNS.get(options.form, _execute)(client, options)
    except httpx.HTTPError as exc:
        reason = str(exc) or type(exc).__name__
        say(f"Error: {options.url} does not answer: {reason}.", to=sys.stderr)
        return FAILED
    except Declined:  # `agreement` has said all
        return FAILED
    except (Refused, ExecutionRefused, OSError, WebSocketException) as exc:
        say(f"Error: {exc}", to=sys.stderr)
        return FAILED
    except KeyboardInterrupt:  # the second one: the server goes on cancelling
        return CANCELLED
    finally:
        client.close()


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    head, words = _at_dashes(arguments)
    parser = _parser()
    options, rest = parser.parse_known_args(head)
    # argparse leaves over what stands behind an option: --all NAME, --shell LINE.
    if rest and (rest[0].startswith("-") or "words" not in options):
        where = ". Write the command behind --" if options.form == "program" else ""
        parser.error(f"unknown: {shlex.join(rest)}{where}")
    if words and options.form != "program":
        parser.error("only exec takes words behind --")
    if rest or words:
        options.words += [*rest, *words]
    return options


def _at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is before the first `--`, and the command behind it."""
    words = list(arguments)
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def _execute(client: Client, options: argparse.Namespace) -> int:
    run = client.execute(options.testbed, _wanted(options))
    is_tool = options.form == "program" and options.tool
    status = _drive(client, run, _shown_live(options) if is_tool else _ignore)
    answers = client.answers(run.number)
    if options.json:
        say(json.dumps(answers, indent=1))
    elif is_tool:
        show_failures(answers, stopped_is_failed=False)
        say(f"{answers['message']} {answers['hint']}".rstrip(), to=sys.stderr)
    else:
        show_answers(answers)
        show_failures(answers)
    if options.form == "fetch" and options.to and has_success(answers):
        client.save(f"/runs/{run.number}/fetched/archive/", options.to)
    return CODES.get(status, FAILED)


def _power(client: Client, options: argparse.Namespace) -> int:
    run = client.power(options.testbed, options.verb, options.guests)
    return _shown(client, run)


def _change(client: Client, options: argparse.Namespace) -> int:
    return _shown(client, started(client, options))


def _save_image(client: Client, options: argparse.Namespace) -> int:
    return _shown(client, save_image(client, options))


def _copy(client: Client, options: argparse.Namespace) -> int:
    if options.disks:
        return _shown(client, client.copy_with_disks(options.testbed, options.name))
    client.copy_testbed(options.testbed, options.name)
    say(f"{options.name} was created.")
    return SUCCEEDED


def _shown(client: Client, run: StartedRun) -> int:
    status = _drive(client, run, Screen(run.instructions).show)
    return CODES.get(status, FAILED)


def _snapshot(client: Client, options: argparse.Namespace) -> int:
    if options.verb == snapshots.LIST:
        snapshots.show(client, options)
        return SUCCEEDED
    if options.verb in (snapshots.SCHEDULE, snapshots.UNSCHEDULE):
        snapshots.schedule(client, options)
        return SUCCEEDED
    return _shown(client, snapshots.started(client, options))


def _drive(client: Client, run: StartedRun, show: OnFrame) -> str:
    """Drive a run to its end; an interrupt cancels it, a second one leaves it."""
    seen = 0

    def take(frame: Frame) -> None:
        nonlocal seen
        show(frame)
        seen = frame.get("seq", seen)

    with suppress(KeyboardInterrupt):
        return client.drive(run, take)
    say(f"Cancelling run {run.number}…", to=sys.stderr)
    client.send_form(f"/runs/{run.number}/cancel/", {})
    return client.follow(run.number, take, after=seen)


_RUNS = {
    "power": _power,
    "snapshot": _snapshot,
    "run": _change,
    "recreate": _change,
    "image-save": _save_image,
    "copy": _copy,
}
# They are done when they return.
_ACTS = {
    "delete": delete,
    "extend": extend,
    "protect": protect,
    "trash": show_trash,
    "restore": restore,
    "image-list": list_images,
    "image-delete": delete_image,
    "reservation-list": list_reservations,
    "reservation-make": make_reservation,
    "reservation-cancel": cancel_reservation,
}


def _shown_live(options: argparse.Namespace) -> OnFrame:
    """Return what prints a tool's lines; JSON has its stream for itself."""
    return Lines(sys.stderr if options.json else sys.stdout).show


def _ignore(frame: Frame) -> None:
    """Take a frame: the answers are read from the rows at the end."""


def _wanted(options: argparse.Namespace) -> Frame:
    """Return the execution as the server reads it."""
    conditions = {
        "user": options.login,
        "sudo": options.sudo,
        "timeout_s": _seconds(options),
        "parallel": options.parallel,
        "in_order": options.in_order,
        "stop_after": options.stop_after,
    }
    if options.form == "program":
        wanted = _program(options)
        conditions |= {
            "env": dict(options.env),
            "folder": options.folder,
            "stdin": _text(options.stdin) if options.stdin else "",
        }
        wanted["targets"] = "hosts" if options.hosts else "guests"
        wanted["tool"] = options.tool
    else:
        wanted = {"form": options.form, "path": options.path}
        wanted |= {"target": options.target} if options.form == "push" else {}
    return {**wanted, "selection": options.guests, "conditions": conditions}


def _program(options: argparse.Namespace) -> Frame:
    wanted: Frame = {"form": "command", "words": options.words}
    if options.shell:
        wanted = {"form": "shell", "words": [" ".join(options.words)]}
    if options.script:
        text = _text(options.script)
        wanted = {"form": "script", "text": text, "words": options.words}
    if options.file:
        wanted = {"form": "script", "path": options.file, "words": options.words}
    return wanted


def _text(file: Path) -> str:
    """Return a file's text; `-` is standard input. Raises: OSError, ExecutionRefused."""
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ExecutionRefused(
            f"{file} is no text in UTF-8. Push it as a file, and name it in the command."
        ) from exc


def _seconds(options: argparse.Namespace) -> int:
    """Return the time limit; a tool has none unless one is given."""
    if options.timeout is not None:
        return int(options.timeout)
    return 0 if options.form == "program" and options.tool else 3600


def _password(options: argparse.Namespace) -> str:
    if options.password_file:
        return _text(options.password_file).strip()
    return getpass.getpass(f"Password of {options.user} at {options.url}: ")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("write NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="testbed.client", description=__doc__)
    parser.add_argument("url", help="the server, as http://127.0.0.1:8000")
    parser.add_argument("--user", default=getpass.getuser(), help="who signs in")
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="has the password, which is asked for without it",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    execute = commands.add_parser("exec", help="run a command in guests")
    push = commands.add_parser("push", help="copy files of a testbed to guests")
    fetch = commands.add_parser("fetch", help="copy files of guests to their testbed")
    for each, form in ((execute, "program"), (push, "push"), (fetch, "fetch")):
        each.set_defaults(form=form)
        _add_guests(each)
        _add_conditions(each)
    _add_program(execute)
    push.add_argument("path", help="a file or folder of the testbed")
    push.add_argument("target", help="the full path that it gets in each guest")
    fetch.add_argument("path", help="the full path of a file or folder in each guest")
    fetch.add_argument(
        "--to", type=Path, metavar="FILE", help="save what arrived here, as a tar"
    )
    power = commands.add_parser("power", help="start and stop guests")
    power.set_defaults(form="power")
    power.add_argument("verb", choices=tuple(VERBS), help="what the guests do")
    _add_guests(power)
    keep = commands.add_parser("snapshot", help="keep and restore guests")
    snapshots.add_snapshot(keep)
    add_images(commands)
    add_copy(commands)
    add_changes(commands)
    add_reservations(commands)
    return parser


def _add_guests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("testbed", help="the testbed's name")
    parser.add_argument("guests", help="as web-[0-3], web-*, @all, @failed")


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--as", dest="login", default="", metavar="USER", help="an account there")
    add("--sudo", action="store_true", help="as root")
    add(
        "--timeout",
        type=int,
        metavar="SECONDS",
        help="the limit of each guest, connecting included: 3600 unless given, none "
        "for a tool",
    )
    add("--parallel", type=int, default=0, metavar="GUESTS", help="so many at once")
    add("--in-order", action="store_true", help="in groups of --parallel")
    add(
        "--stop-after",
        type=int,
        default=0,
        metavar="FAILURES",
        help="begin in no further guest after so many",
    )
    add("--json", action="store_true", help="print the answers as JSON")


def _add_program(parser: argparse.ArgumentParser) -> None:
    """Add what only a program has: its words, its kind, its surroundings."""
    add = parser.add_argument
    add("words", nargs="*", metavar="COMMAND", help="with its arguments, behind --")
    add(
        "--hosts",
        action="store_true",
        help="GUESTS are hosts of the testbed: run it there; for lab admins",
    )
    add("--tool", action="store_true", help="run it until Ctrl+C, and show its lines")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--shell", action="store_true", help="a line for /bin/sh")
    kinds.add_argument("--script", type=Path, metavar="FILE", help="a script from here")
    kinds.add_argument("--file", metavar="PATH", help="a script of the testbed")
    add(
        "--env",
        type=_variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a variable; may be given more than once",
    )
    add("--folder", default="", help="where it runs, as a full path")
    add(
        "--stdin",
        type=Path,
        metavar="FILE",
        help="its standard input; - is ours",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
