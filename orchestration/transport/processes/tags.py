"""Turns a Command into words for exec, or into one line for a remote shell.

Pure. Both forms put the tag into the environment of everything the command starts, and
pass it through sudo, which strips the environment. The line is for any sh (bash, dash,
busybox ash); login_shell.py passes it through other login shells. No process group is
made here: subprocess, OpenSSH and dropbear start each command in a session of its own.
"""

import re
import secrets
import shlex

from orchestration.transport.base import TAG_VARIABLE, Command, Scope
from orchestration.transport.processes.groups import entering

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG = re.compile(r"[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*")


def tag_of(scope: Scope) -> str:
    """Return the scope's tag, or a new one for a command without a tag."""
    return checked_tag(scope.tag) if scope.tag else f"untagged.{secrets.token_hex(8)}"


def checked_tag(tag: str) -> str:
    """Return a tag that needs no quoting anywhere. Raises: ValueError."""
    if not _TAG.fullmatch(tag):
        raise ValueError(f"not a tag: {tag!r}")
    return tag


def environment(cmd: Command, tag: str) -> dict[str, str]:
    """Return the variables to add for the command. Raises: ValueError."""
    for name, value in cmd.env.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(f"not an environment variable: {name!r}")
    return {**cmd.env, TAG_VARIABLE: checked_tag(tag)}


def wrap_argv(cmd: Command, tag: str, *, sudo: bool) -> list[str]:
    """Build the words for exec; with `sudo` the variables travel behind it."""
    words = _checked_words(cmd)
    if cmd.grouped:
        words = [*entering(tag), *words]
    if not sudo:
        return words
    pairs = [f"{name}={value}" for name, value in environment(cmd, tag).items()]
    return ["sudo", "-n", "env", *pairs, *words]


def wrap_line(cmd: Command, tag: str, *, sudo: bool) -> str:
    """Build the line for a remote shell.

    The shell waits for the program instead of becoming it. Its `$?` is 128 + n for a
    program that signal n ended; otherwise SSH clients report that differently.
    """
    words = shlex.join(wrap_argv(cmd, tag, sudo=sudo))
    exported = {TAG_VARIABLE: tag} if sudo else environment(cmd, tag)
    pairs = " ".join(f"{name}={shlex.quote(v)}" for name, v in exported.items())
    return f"export {pairs}; {words}; exit $?"


def _checked_words(cmd: Command) -> list[str]:
    if not cmd.argv or not cmd.argv[0] or "=" in cmd.argv[0]:
        raise ValueError(f"not a program: {cmd.argv!r}")
    if any("\0" in word for word in cmd.argv):
        raise ValueError("a word of a command holds a NUL character")
    return list(cmd.argv)
