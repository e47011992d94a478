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
    """Return the request for a line of /bin/sh, and what it reads before its input."""
    if len(request := for_any_shell(line)) <= LONGEST_BYTES:
        return request, b""
    end = f"# {secrets.token_hex(8)}"
    text = f"{line}\n{end}".encode(errors="surrogateescape")
    reader = (
        f"export {TAG_VARIABLE}={tag}; "
        f"line=$(dd bs=1 count={len(text)} 2> /dev/null); "
        f'case $line in *"{end}") eval "$line";; esac; exit 255'
    )
    return for_any_shell(reader), text
