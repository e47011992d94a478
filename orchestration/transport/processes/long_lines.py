"""Passes a line that is too long for a request as the first bytes of its input.

dropbear takes requests of 9,000 bytes, Linux a shell's line of 128 KiB. `dd` with
blocks of one byte leaves the rest of the input alone, in every guest. A line that
arrived in part is not run: it lacks its last word.
"""

import secrets

from orchestration.transport.base import TAG_VARIABLE
from orchestration.transport.processes.login_shell import for_any_shell

LONGEST_BYTES = 8_000


def request_of(line: str, tag: str) -> tuple[str, bytes]:
    """Return the line to request, and what it reads before the command's own input."""
    if len(for_any_shell(line)) <= LONGEST_BYTES:
        return line, b""
    end = f"# {secrets.token_hex(8)}"
    text = f"{line}\n{end}".encode(errors="surrogateescape")
    request = (
        f"export {TAG_VARIABLE}={tag}; "
        f"line=$(dd bs=1 count={len(text)} 2> /dev/null); "
        f'case $line in *"{end}") eval "$line";; esac; exit 255'
    )
    return request, text
