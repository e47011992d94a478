"""Records commands in a terminal as asciicast v2, and draws its last screen as SVG.

The format: https://docs.asciinema.org/manual/asciicast/v2/. tmux plays the recording,
so that the picture has what a terminal shows, and rich draws it.
"""

import io
import json
import os
import pty
import re
import secrets
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 80, 30
PROMPT = "$ "
KEY_S, PAUSE_S, IDLE_LIMIT_S = 0.05, 1.0, 1.5
PATIENCE_S = 120
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Of a line, numbers and times may differ from recording to recording.
AMOUNTS = re.compile(r"\s*\d[\d.:, -]*( ?(ms|s|min|UTC)\b)?")
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px;
  line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})"
  clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Recording:
    """The texts that a terminal showed, with seconds since the start."""

    def __init__(self) -> None:
        self.parts: list[tuple[float, str]] = []
        self._shift_s = -time.monotonic()

    def run(
        self,
        shown: str,
        words: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
    ) -> int:
        """Run a program in a terminal, typed as `shown`; return its exit code."""
        self._wait(PAUSE_S)
        for key in f"{PROMPT}{shown}\r\n":
            self._wait(KEY_S)
            self._add(key)
        hand, end = pty.openpty()
        termios.tcsetwinsize(end, (ROWS, COLUMNS))
        more = {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        process = subprocess.Popen(
            list(words),
            stdin=end,
            stdout=end,
            stderr=end,
            cwd=folder,
            env={**environment, **more},
            start_new_session=True,
        )
        os.close(end)
        self._read(hand)
        return process.wait(PATIENCE_S)

    @property
    def text(self) -> str:
        """All that was shown."""
        return "".join(text for _, text in self.parts)

    def cast(self, title: str) -> str:
        """Return the recording as asciicast v2."""
        head = {
            "version": 2,
            "width": COLUMNS,
            "height": ROWS,
            "idle_time_limit": IDLE_LIMIT_S,
            "title": title,
            "env": {"TERM": "xterm-256color"},
        }
        lines = [head, *([round(at, 3), "o", text] for at, text in self.parts)]
        return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)

    def _read(self, hand: int) -> None:
        rest = b""
        while True:
            try:
                data = os.read(hand, 65536)
            except OSError:  # Linux: the program closed its end
                break
            if not data:
                break
            whole, rest = _whole_characters(rest + data)
            self._add(whole)
        os.close(hand)

    def _add(self, text: str) -> None:
        self.parts.append((time.monotonic() + self._shift_s, text))

    def _wait(self, seconds: float) -> None:
        """Let time pass in the recording alone."""
        self._shift_s += seconds


def text_of(cast: str) -> str:
    """Return all that an asciicast shows."""
    _, *parts = (json.loads(line) for line in cast.splitlines())
    return "".join(text for _, kind, text in parts if kind == "o")


def structure(shown: str) -> list[str]:
    """Return the commands and the last board of each, without times and amounts."""
    found: list[str] = []
    for line in re.split(r"[\r\n]+", CODES.sub("", shown)):
        bare = AMOUNTS.sub(" ", line).strip()
        if line.startswith(PROMPT):
            found.append(bare)
        elif line.startswith("✓") and bare.endswith(" before"):
            while not found[-1].startswith(PROMPT):  # the board is drawn anew
                found.pop()
        elif line.startswith(("✓ ", "✗ ", "Run ")) and bare not in found:
            found.append(bare)
    return found


def picture(shown: str, title: str) -> str:
    """Return the last screen of a terminal that shows this, as SVG."""
    socket = f"testbed-{secrets.token_hex(4)}"
    tmux = ["tmux", "-L", socket, "-f", os.devnull]
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    environment = os.environ | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="") as file:
        file.write(shown)
        file.flush()
        play = [
            "sh",
            "-c",
            'cat "$1"; tmux wait-for -S shown; sleep 60',
            "-",
            file.name,
        ]
        subprocess.run(
            [*tmux, "new-session", "-d", *size, *play], check=True, env=environment
        )
        subprocess.run([*tmux, "wait-for", "shown"], check=True, timeout=PATIENCE_S)
    try:
        screen = subprocess.run(
            [*tmux, "capture-pane", "-e", "-p"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip("\n")))
    svg = console.export_svg(title=title, code_format=SVG, unique_id="terminal")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _whole_characters(data: bytes) -> tuple[str, bytes]:
    """Return text, and the bytes of a character that has not come whole."""
    for cut in range(4):
        end = len(data) - cut
        try:
            return data[:end].decode(), data[end:]
        except UnicodeDecodeError:
            continue
    return data.decode(errors="replace"), b""
