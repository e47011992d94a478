"""The files with which this machine's `ssh` reaches a guest: its way, and pinned keys.

They are written anew at each use from what the server says, whose words are checked:
`ssh` runs commands that such a file names. `~/.ssh/config` is not read.
"""

import hashlib
import os
import re
from pathlib import Path

from orchestration.errors import TestbedError
from orchestration.files import write_whole
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.watching import Frame

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:-]*")
_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+")
_JUMP = re.compile(
    r"(?P<user>[A-Za-z0-9][A-Za-z0-9._-]*)@"
    r"\[?(?P<address>[A-Za-z0-9:][A-Za-z0-9.:-]*?)\]?(:(?P<port>[0-9]{1,5}))?"
)
# Quotes, variables and ends of lines, which a line of the file would not keep.
_UNSAFE = re.compile(r'["$`\\\x00-\x1f]')


def folder_of(server: str, testbed: str, guest: str) -> Path:
    """Return the folder of a guest's files, below the user's settings."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    place = hashlib.sha256(f"{server} {testbed} {guest}".encode()).hexdigest()[:16]
    return Path(home).absolute() / "testbed" / "ssh" / place


def write_files(way: Frame, folder: Path, identity: Path | None) -> Path:
    """Write the files of a way into a guest; return the one for `ssh -F`.

    Raises: Refusal (a key is not known yet), TestbedError (words that are no way),
    WrongUse, OSError.
    """
    jump = _checked(way)
    if not way["host_key"]:
        raise Refusal(
            f"{way['guest']} has not reported its host key.",
            hint="It does when it starts: try again in a minute, or after `testbed up`.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = folder / "known_hosts"
    keys = {_alias(way): way["host_key"], _jump_alias(way): way["jump_host_key"]}
    lines = [f"{alias} {key}\n" for alias, key in keys.items() if key]
    write_whole(known, "".join(lines))
    config = folder / "config"
    write_whole(config, "\n".join(_lines(way, jump, folder, identity)))
    return config


def _lines(
    way: Frame, jump: re.Match[str], folder: Path, identity: Path | None
) -> list[str]:
    """Return the lines for `ssh -F`; the guest is `guest` there, the host `jump`."""
    lines = ["Host guest", f"  HostName {way['address']}", f"  User {way['user']}"]
    # ProxyJump would name this file without quotes.
    through = f"ssh -F {_quoted(folder / 'config')} -W '[%h]:%p' jump"
    lines += [f"  ProxyCommand {through}", f"  HostKeyAlias {_alias(way)}"]
    lines += ["Host jump", f"  HostName {jump['address']}", f"  User {jump['user']}"]
    lines += [f"  Port {jump['port'] or 22}", f"  HostKeyAlias {_jump_alias(way)}"]
    if not way["jump_host_key"]:
        # The user compares what ssh shows; it is kept, as ours are written anew.
        lines += ["  StrictHostKeyChecking ask"]
        lines += [f"  UserKnownHostsFile {_quoted(folder / 'compared_hosts')}"]
    lines += ["Host *", f"  UserKnownHostsFile {_quoted(folder / 'known_hosts')}"]
    lines += ["  GlobalKnownHostsFile none", "  StrictHostKeyChecking yes"]
    lines += ["  UpdateHostKeys no", "  ForwardAgent no"]
    if identity is not None:
        lines += [f"  IdentityFile {_quoted(identity.absolute())}"]
    return [*lines, ""]


def _checked(way: Frame) -> re.Match[str]:
    """Return the parts of the host that is passed through. Raises: TestbedError."""
    keys = [key for key in (way["host_key"], way["jump_host_key"]) if key]
    names = (way["guest"], way["user"], way["jump_host"])
    jump = _JUMP.fullmatch(way["jump"])
    is_right = all(map(_NAME.fullmatch, names)) and all(map(_KEY.fullmatch, keys))
    if jump is None or not is_right or not _ADDRESS.fullmatch(way["address"]):
        raise TestbedError(
            f"The server names no way to {way['guest']} that ssh can take.",
            hint="Ask a lab admin for the host's address and account.",
        )
    return jump


def _alias(way: Frame) -> str:
    return f"{way['guest']}.guest.testbed"


def _jump_alias(way: Frame) -> str:
    return f"{way['jump_host']}.host.testbed"


def _quoted(path: Path) -> str:
    """Return a path as a word of the file. Raises: WrongUse."""
    if _UNSAFE.search(str(path)):
        raise WrongUse(
            f"{path} has signs that a file of ssh cannot hold.",
            hint="Use a path without quotes, $ and backslashes.",
        )
    escaped = str(path).replace("%", "%%")
    return f'"{escaped}"'
