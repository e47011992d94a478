"""Commands that run a user's program or script under the user's conditions.

Words stay words: nothing of them is read by a shell, except a line that was asked to be
a shell's. Another account is entered by root with `su`, which every guest has and which
passes the environment on, with the mark of the run in it.
"""

import re
from dataclasses import replace

from orchestration.plan.execution import Conditions
from orchestration.transport.base import TAG_VARIABLE, Command, command

SHELL = "/bin/sh"
# A file's name has 255 bytes at most, and a copy's temporary name is longer than its own.
NAME_CHARACTERS = 40
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
# $1 is the folder, then the words.
_IN_FOLDER = 'cd -- "$1" || exit 126; shift; exec "$@"'
# The words are assignments, then the command.
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
    found = command(*words, env=conditions.env, stdin=conditions.stdin.encode())
    as_root = conditions.sudo or bool(conditions.user)
    return replace(found, as_root=as_root, grouped=as_root)


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
    pairs = (f"{name}={value}" for name, value in cmd.env.items())
    words = ("sh", "-c", _OWN_ENVIRONMENT, "sh", *pairs, *cmd.argv)
    return replace(cmd, argv=words, env={})
