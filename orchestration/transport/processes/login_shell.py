"""Reaches a shell of sh's kind through any login shell, and skips the login's output.

sshd passes each command to the login shell of the account (bash, csh or fish), and
start files may print. So a mark is printed before the command is run: by the login
shell itself where it is of sh's kind, else by the /bin/sh that the line starts. A start
of a shell takes about a millisecond, in an emulated guest twelve.
"""

from collections.abc import Callable

MARK = b"\x1etestbed\x1e"
# Between single quotes, where fish knows \\ and \', csh knows ! and no newline.
_BEGIN = r'printf "\036testbed\036"; printf "\036testbed\036" >&2; eval '
# csh and fish find an error in a function of sh's form before they run a part of the
# line. A shell that reads on has no function to call, and passes the rest by.
_BEGIN_HERE = r'testbed_begins() { printf "\036testbed\036"; }; '
_RUN_HERE = "testbed_begins && { testbed_begins >&2; "
# Decoding takes a process there: only where something is encoded.
_ENCODED, _PLAIN = '"$(printf %b "$1")"', '"$1"'
_UNSAFE = frozenset(b"'\\!\n\r")
# The bytes kept of a login that prints and never starts the command.
_KEPT_BYTES = 64 * 1024


def for_any_shell(line: str) -> str:
    """Build a line for any login shell from one for /bin/sh."""
    safe = "".join(
        f"\\0{byte:03o}" if byte in _UNSAFE or byte > 126 else chr(byte)
        for byte in line.encode(errors="surrogateescape")
    )
    read = _PLAIN if safe == line else _ENCODED
    return f"exec /bin/sh -c '{_BEGIN}{read}' sh '{safe}'"


def for_kin_of_sh(line: str) -> str:
    """Build a line that a login shell of sh's kind runs by itself; no other runs any.

    csh reads a line of text by itself each, so newlines are not for it. Raises:
    ValueError for anything but printable ASCII.
    """
    if not (line.isascii() and line.isprintable()):
        raise ValueError("not printable ASCII")
    return f"{_BEGIN_HERE}{_RUN_HERE}{line}; }}"


class Begun:
    """Passes on the output after the mark; `printed` holds the output before it."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self.printed = b""
        self.is_begun = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of a stream."""
        if self.is_begun:
            self._sink(data)
            return
        printed, mark, rest = (self.printed + data).partition(MARK)
        self.printed = printed[-_KEPT_BYTES:]
        self.is_begun = bool(mark)
        if rest:
            self._sink(rest)
