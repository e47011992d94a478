"""Output of a command: lines for a listener, the last MiB for the result.

Transports feed it with bytes. Memory stays bounded: a line without end is passed on in
pieces, and only the last MiB of each stream is kept. A carriage return ends a line as
well, so that progress bars arrive while they move. `Running` has both streams of a
command; it and `conclude` turn its end into its result or its error.
"""

import codecs
import re
import time

from orchestration.errors import CommandFailed, CommandTimedOut
from orchestration.events import Stream
from orchestration.transport.base import Command, Completed, OnBytes, OnLine

KEPT_BYTES = 1024 * 1024
PIECE_CHARACTERS = 64 * 1024
DETAIL_LINES = 20
SHOWN_CHARACTERS = 200
_LINE_END = re.compile(r"\r\n|\n|\r")


class Output:
    """One stream of one command."""

    def __init__(self, stream: Stream, on_line: OnLine | None) -> None:
        self._stream = stream
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they come and pass on the complete lines."""
        self._kept += data
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]
        if self._on_line is not None:
            self._split(self._decoder.decode(data), self._on_line)

    def close(self) -> None:
        """Pass on the rest that has no line end."""
        if self._on_line is None:
            return
        self._split(self._decoder.decode(b"", final=True), self._on_line)
        if self._pending:
            self._on_line(self._stream, self._pending.removesuffix("\r"))
            self._pending = ""

    @property
    def text(self) -> str:
        """The last MiB, decoded leniently."""
        return self._kept[-KEPT_BYTES:].decode(errors="replace")

    def _split(self, text: str, on_line: OnLine) -> None:
        text = self._pending + text
        if "\r" not in text:
            *lines, rest = text.split("\n")
            for line in lines:
                self._emit(line, on_line)
            self._keep(rest, on_line)
            return
        start = 0
        for end in _LINE_END.finditer(text):
            # A carriage return at the very end may be half of a line end.
            if end.end() == len(text) and end[0] == "\r":
                break
            if end.start() > start or end[0] != "\r":
                self._emit(text[start : end.start()], on_line)
            start = end.end()
        self._keep(text[start:], on_line)

    def _keep(self, rest: str, on_line: OnLine) -> None:
        """Keep the last piece of a line that has no end yet."""
        while len(rest) > PIECE_CHARACTERS:
            on_line(self._stream, rest[:PIECE_CHARACTERS])
            rest = rest[PIECE_CHARACTERS:]
        self._pending = rest

    def _emit(self, line: str, on_line: OnLine) -> None:
        if len(line) <= PIECE_CHARACTERS:
            on_line(self._stream, line)
            return
        for start in range(0, len(line), PIECE_CHARACTERS):
            on_line(self._stream, line[start : start + PIECE_CHARACTERS])


class Running:
    """A command on a machine, from its start to its result or error.

    `sinks` take the bytes of its two streams. `on_bytes` takes stdout instead, which
    then is in no line and no result.
    """

    def __init__(
        self,
        cmd: Command,
        machine: str,
        on_line: OnLine | None,
        on_bytes: OnBytes | None,
    ) -> None:
        self._cmd = cmd
        self._machine = machine
        self._started = time.monotonic()
        self._stdout = Output(Stream.STDOUT, on_line)
        self._stderr = Output(Stream.STDERR, on_line)
        self.sinks = (on_bytes or self._stdout.feed, self._stderr.feed)

    def ended(self, exit_code: int, *, check: bool) -> Completed:
        """Return the result. Raises: CommandFailed (non-zero and `check`)."""
        self._stdout.close()
        self._stderr.close()
        seconds = time.monotonic() - self._started
        texts = (self._stdout.text, self._stderr.text)
        completed = Completed(self._cmd, exit_code, *texts, seconds)
        return conclude(completed, self._machine, check=check)

    def timed_out(self, timeout_s: float) -> CommandTimedOut:
        """Build the error for a command that was ended at its timeout."""
        detail = self._stderr.text or self._stdout.text
        return timed_out(self._cmd, self._machine, timeout_s, detail)


def conclude(completed: Completed, machine: str, *, check: bool) -> Completed:
    """Return the result, or raise CommandFailed for a non-zero exit and `check`."""
    if check and completed.exit_code != 0:
        raise CommandFailed(
            f"Command `{shown(completed.command)}` failed on {machine} "
            f"with exit code {completed.exit_code}.",
            exit_code=completed.exit_code,
            hint=_hint(completed),
            detail=last_lines(completed.stderr or completed.stdout),
        )
    return completed


def timed_out(
    cmd: Command, machine: str, timeout_s: float, detail: str
) -> CommandTimedOut:
    """Build the error for a command that was ended at its timeout."""
    return CommandTimedOut(
        f"Command `{shown(cmd)}` did not end on {machine} within {timeout_s:g} s.",
        exit_code=124,
        hint="It was ended. Try again, or give it more time.",
        detail=last_lines(detail),
    )


def last_lines(text: str) -> str:
    """Return the end of an output, limited to what an error shows."""
    return "\n".join(text.splitlines()[-DETAIL_LINES:])


def shown(cmd: Command) -> str:
    """Return a command for an error message: one line, of limited length."""
    text = " ".join(str(cmd).split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} …"


def _hint(completed: Completed) -> str:
    if completed.exit_code == 127:
        return f"Is {completed.command.argv[0]} installed there?"
    if "sudo:" in completed.stderr:
        return "The login needs sudo without a password, or must be root."
    return ""
