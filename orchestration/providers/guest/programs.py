"""Commands that run a user's program or script under the user's conditions.

Words stay words: nothing of them is read by a shell, except a line that was asked to be
a shell's. Another account is entered by root with `su`, which every guest has and which
passes the environment on, with the mark of the run in it. The values of the environment
come before the program's input, since all accounts of a machine may read its command
lines.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

from orchestration.plan.execution import Conditions
from orchestration.transport.base import TAG_VARIABLE, Command

SHELL = "/bin/sh"
# A file's name has 255 bytes at most, and a copy's temporary name is longer than its own.
NAME_CHARACTERS = 40
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
# $1 is the folder, then the words.
_IN_FOLDER = 'cd -- "$1" || exit 126; shift; exec "$@"'
# $1 is the size of the assignments that come first in the input; then the words. Blocks
# of one byte leave the rest of the input alone, in every guest.
_WITH_VARIABLES = """\
eval "$(dd bs=1 count="$1" 2> /dev/null)"
shift
exec "$@"
"""
_OWN_ENVIRONMENT = (
    'exec env -i HOME="${HOME:-/}" PATH="$PATH" LANG=C.UTF-8 '
    f'{TAG_VARIABLE}="${TAG_VARIABLE}" "$@"'
)
# $1 is the script; the words of its interpreter, the script again and its arguments
# follow.
# Scripts for Testbed-OS often name no interpreter and ran with bash.
_RUN_SCRIPT = """\
script=$1
shift
if [ "$1" = "$script" ]; then
  if command -v bash > /dev/null; then set -- bash "$@"; else set -- sh "$@"; fi
fi
"$@"
code=$?
rm -f -- "$script"
exit "$code"
"""


def interpreter_of(script: bytes) -> tuple[str, ...]:
    """Return the words of a script's #! line; none without one."""
    first = script.split(b"\n", 1)[0].decode(errors="replace")
    return tuple(first[2:].split()) if first.startswith("#!") else ()


def script_place(owner: str, path: str) -> str:
    """Return the path in a guest of a script, named after its file in the testbed.

    Of a long name the end is kept, which tells the language.
    """
    name = _UNUSUAL.sub("_", path.rpartition("/")[2])[-NAME_CHARACTERS:]
    return f"/tmp/testbed-{owner}-{name or 'script'}"  # nosec B108  # noqa: S108 - the guest's


def program(words: tuple[str, ...], conditions: Conditions) -> Command:
    """Return the command that runs a program with its arguments."""
    if conditions.folder:
        words = ("sh", "-c", _IN_FOLDER, "sh", conditions.folder, *words)
    if conditions.user:
        entry = ("su", "-s", SHELL, "-c", 'exec "$@"', "--", conditions.user, "sh")
        words = (*entry, *words)
    stdin = conditions.stdin.encode()
    if conditions.env:
        variables = _assignments(conditions.env).encode()
        words = ("sh", "-c", _WITH_VARIABLES, "sh", str(len(variables)), *words)
        stdin = variables + stdin
    as_root = conditions.sudo or bool(conditions.user)
    return Command(words, stdin=stdin, as_root=as_root, grouped=as_root)


def _assignments(env: Mapping[str, str]) -> str:
    pairs = (f"{name}={shlex.quote(value)}" for name, value in env.items())
    return f"export {' '.join(pairs)}"


def shell_line(line: str, conditions: Conditions) -> Command:
    """Return the command that lets the guest's shell read a line."""
    return program((SHELL, "-c", line), conditions)


def script(
    content: bytes, path: str, arguments: tuple[str, ...], conditions: Conditions
) -> Command:
    """Return the command that runs and removes a script, which is at `path` there."""
    words = (*interpreter_of(content), path, *arguments)
    return program((SHELL, "-c", _RUN_SCRIPT, "sh", path, *words), conditions)


def in_own_environment(cmd: Command) -> Command:
    """Return the same command without the variables of the process that starts it."""
    return replace(cmd, argv=("sh", "-c", _OWN_ENVIRONMENT, "sh", *cmd.argv))
