"""The end of the log of a guest's serial console.

In readable form it is shown when a guest does not come up: terminal colours, cursor
movements and control characters are taken out. As it is, it is the past of the console
in the browser. The file is QEMU's, so root reads it.
"""

import re

from orchestration.transport.base import Command, Scope, Transport, command

TAIL_BYTES = 64 * 1024
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles
    r"|\x1b[ -/]*[0-~]"
)
# virtlogd cuts at a size and keeps up to this many earlier parts, the newest as `.0`.
_WHOLE = """\
for n in 9 8 7 6 5 4 3 2 1 0; do
  [ ! -f "$1.$n" ] || cat -- "$1.$n" || exit
done
exec cat -- "$1"
"""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def console_tail(
    transport: Transport, path: str, *, lines: int = 20, scope: Scope
) -> str:
    """Return the last lines of a console file; empty when there is none."""
    cmd = command("tail", "-c", str(TAIL_BYTES), path).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    return "\n".join(clean(completed.stdout).splitlines()[-lines:])


def console_bytes(transport: Transport, path: str, size: int, *, scope: Scope) -> bytes:
    """Return the last bytes of a console file; empty when there is none."""
    parts: list[bytes] = []
    cmd = command("tail", "-c", str(size), path).with_root()
    transport.run(cmd, scope=scope, check=False, on_bytes=parts.append)
    return b"".join(parts)


def whole_log(path: str) -> Command:
    """Build the program that prints a console file, with what was cut off before."""
    return command("sh", "-c", _WHOLE, "sh", path).with_root()


def clean(text: str) -> str:
    """Return text without escapes, control characters and empty lines."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    kept = (line.rstrip() for line in _CONTROLS.sub("", text).split("\n"))
    return "\n".join(line for line in kept if line)
