"""Receives a pushed file or folder in a guest: whole, verified, or not at all.

The stream of `project/packing.py` is unpacked into a new folder beside the target, and
what lies on the disk then is read again and compared with the stream's digest. A file,
or a folder that is new, gets its name by one rename. An existing folder is merged:
its own files stay, unless a pushed one has the same path, and each file is exchanged by
one rename. Exchanging the whole folder instead would delete what a guest has in /etc.

The program needs tar, xargs and sha256sum, of GNU or busybox. Nothing is compressed:
main and its guests are in one lab, where the cipher is slower than the wire.
"""

import secrets
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.errors import CommandFailed, NotEnoughSpace, TestbedError
from orchestration.plan.execution import Conditions
from orchestration.providers.guest.copies.digest import DIGEST
from orchestration.providers.guest.programs import program
from orchestration.transport.base import Command, Completed
from orchestration.transport.output import last_lines

IS_FOLDER, IS_FILE, IS_DIFFERENT, CONFLICTS, IS_SHORT = 71, 72, 73, 74, 75
_NOT_FOUND = 127
_NAME_BYTES = 200

# $1 target, $2 new folder beside it, $3 the same inside of it, $4 file or folder, $5 its
# KiB. GNU tar wakes up for 10 KiB at a time unless told, which busybox does not hear. A lost
# connection looks like the end of input: the digest is the last part of the stream. A
# new folder of another boot is what the guest's own end left.
RECEIVE = f"""\
{DIGEST}
target=$1 part=$2 kind=$4 kib=$5
clean() {{ cd /; rm -rf -- "$part"; }}
fail() {{ clean; exit "${{1:-1}}"; }}
trap 'clean; exit 143' TERM HUP INT; trap '' PIPE
LC_ALL=C; export LC_ALL
boot=$(cat /proc/sys/kernel/random/boot_id)

walk() {{
  from=$1 to=$2 what=$3
  shift 3
  for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
    [ -e "$entry" ] || [ -L "$entry" ] || continue
    place=$to/${{entry##*/}}
    if [ -d "$entry" ] && [ ! -L "$entry" ] && [ -d "$place" ]; then
      (walk "$entry" "$place" "$what") || return
      continue
    fi
    if [ -d "$place" ]; then echo "$place" >&2; return {CONFLICTS}; fi
    if [ -d "$entry" ] && [ ! -L "$entry" ] && [ -e "$place" ]; then
      echo "$place" >&2; return {CONFLICTS}
    fi
    set -- "$@" "$entry"
    if [ $# -ge 200 ]; then move "$@" || return; set --; fi
  done
  [ $# -eq 0 ] || move "$@"
}}
move() {{ [ "$what" = check ] || mv -f -- "$@" "$to/"; }}

if [ "$kind" = file ] && [ -d "$target" ]; then exit {IS_FOLDER}; fi
if [ "$kind" = folder ] && [ -d "$target" ]; then part=$3
elif [ "$kind" = folder ] && [ -e "$target" ]; then exit {IS_FILE}
fi
mkdir -p -- "${{part%/*}}/" || exit 1
for old in "${{part%.*.part}}".????????.part; do
  if [ -f "$old/boot" ] && [ "$(cat "$old/boot")" != "$boot" ]; then
    rm -rf -- "$old"
  fi
done
umask 077
mkdir -- "$part" && cd "$part" && echo "$boot" > boot || fail
TAR_OPTIONS=-b128 tar -x -p -o -f - || fail
[ -f digest ] || fail {IS_SHORT}
got=$(
  if [ ! -s names ]; then digest < names
  elif [ "$kind" = file ]; then digest "$kib" < content
  else xargs -0 cat -- < names | digest "$kib"
  fi
)
[ "${{got%% *}}" = "$(cat digest)" ] || fail {IS_DIFFERENT}
if [ "$part" = "$3" ]; then
  for what in check move; do
    walk content "$target" "$what" || fail $?
  done
else
  mv -f -- content "$target" || fail
fi
clean
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A path in a guest, and the new folder that a push unpacks into."""

    path: str
    beside: str
    inside: str


def target_of(path: str) -> Target:
    """Choose the names of one push to an absolute path."""
    place = PurePosixPath(path)
    name = place.name.encode(errors="surrogateescape")[:_NAME_BYTES]
    token = secrets.token_hex(4)
    part = f".{name.decode(errors='ignore')}.{token}.part"
    return Target(str(place), str(place.parent / part), str(place / f".{token}.part"))


def receive_command(
    target: Target, conditions: Conditions, *, is_folder: bool, size_bytes: int
) -> Command:
    """Build the program that receives the stream on its standard input."""
    kind = "folder" if is_folder else "file"
    words = (target.path, target.beside, target.inside, kind, str(size_bytes // 1024))
    return program(("sh", "-c", RECEIVE, "sh", *words), _account(conditions))


def remove_command(target: Target, conditions: Conditions) -> Command:
    """Build the program that removes what an ended push left."""
    words = ("rm", "-rf", "--", target.beside, target.inside)
    return program(words, _account(conditions))


def push_failed(ended: Completed, target: Target, guest: str) -> TestbedError:
    """Build the error of a `receive_command` that did not succeed."""
    if ended.exit_code in _REASONS:
        message, hint = _REASONS[ended.exit_code]
        path = target.path
        if ended.exit_code == CONFLICTS:
            path = ended.stderr.strip().rpartition("\n")[2]
        return CommandFailed(
            message.format(path=path, guest=guest), exit_code=ended.exit_code, hint=hint
        )
    return _failed(ended, target, guest)


_REASONS = {
    IS_FOLDER: (
        "{path} is a folder in guest {guest}, and a file was to be pushed there.",
        "Give the full path of the file.",
    ),
    IS_FILE: (
        "{path} is a file in guest {guest}, and a folder was to be pushed there.",
        "Choose another target, or remove the file.",
    ),
    IS_DIFFERENT: (
        "What arrived for {path} in guest {guest} is damaged; nothing was kept.",
        "Push it again. If this stays, look at the guest's disk.",
    ),
    CONFLICTS: (
        "{path} in guest {guest} is no such thing as in the testbed: one is a folder.",
        "Nothing was changed. Remove it, or choose another target.",
    ),
    IS_SHORT: (
        "Only a part of {path} arrived in guest {guest}; nothing was kept.",
        "Push it again.",
    ),
}
_SPACE = ("No space left on device", "Disk quota exceeded")
_RIGHTS = ("Permission denied", "Operation not permitted", "Read-only file system")


def _failed(ended: Completed, target: Target, guest: str) -> TestbedError:
    detail = last_lines(ended.stderr)
    if any(words in detail for words in _SPACE):
        return NotEnoughSpace(
            f"The file system of {target.path} in guest {guest} is full; nothing was "
            "kept.",
            hint="Free some space there and push it again.",
            detail=detail,
        )
    hint = reason = ""
    if denied := next((words for words in _RIGHTS if words in detail), ""):
        reason = f": {denied.lower()}"
        hint = (
            "The user that pushes may not write there. Choose root (sudo) or another "
            "user."
        )
    elif ended.exit_code == _NOT_FOUND or "not found" in detail:
        hint = "The guest needs sh, tar, xargs and sha256sum, and the user an account."
    return CommandFailed(
        f"Could not write {target.path} in guest {guest}{reason}.",
        exit_code=ended.exit_code,
        hint=hint,
        detail=detail,
    )


def _account(conditions: Conditions) -> Conditions:
    """Return the conditions that a copy has: who writes, and for how long."""
    return Conditions(
        user=conditions.user, sudo=conditions.sudo, timeout_s=conditions.timeout_s
    )
