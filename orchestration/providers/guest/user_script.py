"""The command that runs a user's script in a guest."""

from orchestration.transport.base import Command, command

# $1 is the script. Scripts for Testbed-OS often have no #! line and ran with bash.
UNNAMED = """\
if command -v bash > /dev/null; then shell=bash; else shell=sh; fi
echo "${1##*/} has no #! line; it runs with $shell."
exec "$shell" "$1" < /dev/null
"""


def script_command(script: bytes, path: str) -> Command:
    """Return the command that runs `script`, which is at `path` in the guest, as root.

    It runs with the interpreter that it names, else with bash, or sh without bash.
    """
    first = script.split(b"\n", 1)[0].decode(errors="replace")
    words = first[2:].split() if first.startswith("#!") else []
    if words:
        return command(*words, path).with_root()
    return command("sh", "-s", "--", path, stdin=UNNAMED.encode()).with_root()
