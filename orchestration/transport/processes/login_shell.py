"""Reaches /bin/sh through any login shell, and skips the login's own output.

sshd passes each command to the login shell of the account (bash, csh or fish), and
start files may print. So the line has the same meaning in all of them: it starts
/bin/sh, which prints a mark and then runs the command.
"""

from collections.abc import Callable

MARK = b"\x1etestbed\x1e"
# Between single quotes, where fish knows \\ and \', csh knows ! and no newline.
_BEGIN = r'printf "\036testbed\036"; printf "\036testbed\036" >&2; eval '
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
