"""Sends a file or folder of a guest as one tar stream, with a digest behind it.

The stream is the program's standard output; on standard error come an estimate of its
size, tar's own messages, tar's exit code and the digest of the stream. GNU tar and that
of busybox do, and no file is written in the guest, whose disk may be full. The guest's
word is believed in nothing but what it says about itself: `unpacking.py` and the
digest of what arrived decide.
"""

import re
from posixpath import normpath

from orchestration.errors import CommandFailed, TestbedError
from orchestration.plan.execution import Conditions
from orchestration.providers.guest.copies.digest import DIGEST
from orchestration.providers.guest.programs import program
from orchestration.transport.base import Command, Completed
from orchestration.transport.output import last_lines

IS_MISSING, IS_SPECIAL = 81, 82
_SIZE = re.compile(r"testbed-size (\d{1,15})")
_TAR = re.compile(r"^testbed-tar (\d{1,3})$", re.MULTILINE)
_SUM = re.compile(r"^([0-9a-f]{64}) (?: -|\*stdin)$", re.MULTILINE)
_CHANGED = ("file changed as we read it", "removed before we read it")
_RIGHTS = ("Permission denied", "Operation not permitted")

# $1 is the path. A link there is followed, and none below it. The digest's pipe is
# opened by /proc: not every small guest has /dev/fd.
SEND = f"""\
{DIGEST}
path=$1
LC_ALL=C; export LC_ALL
if [ -d "$path" ]; then
  cd -- "$path" || exit 1
  set -- .
  kib=$(du -sk . 2> /dev/null | cut -f 1)
elif [ -f "$path" ]; then
  cd -- "${{path%/*}}/" || exit 1
  set -- -h -- "${{path##*/}}"
  kib=$(du -skL -- "$3" 2> /dev/null | cut -f 1)
elif [ -e "$path" ]; then exit {IS_SPECIAL}
else exit {IS_MISSING}
fi
echo "testbed-size $kib" >&2
{{
  {{ tar -c -f - "$@"; echo "testbed-tar $?" >&2; }} |
    tee /proc/self/fd/4 4>&1 >&3 | digest "$kib" >&2
}} 3>&1
"""


def send_command(path: str, conditions: Conditions) -> Command:
    """Build the program that sends a file or folder to its standard output."""
    account = Conditions(user=conditions.user, sudo=conditions.sudo)
    return program(("sh", "-c", SEND, "sh", normal_path(path)), account)


def normal_path(path: str) -> str:
    """Return an absolute path without `.`, `..` and double slashes."""
    return f"/{normpath(path).lstrip('/')}"


def folder_name(path: str) -> str:
    """Return the name that a fetched folder has on main."""
    return normal_path(path).rpartition("/")[2] or "root"


def announced_bytes(line: str) -> int | None:
    """Return the estimate that a line of standard error is; None for other lines."""
    found = _SIZE.fullmatch(line)
    return int(found[1]) * 1024 if found else None


def is_changed(ended: Completed) -> bool:
    """Return whether files changed while the guest read them."""
    return any(words in ended.stderr for words in _CHANGED)


def require_sent(ended: Completed, digest: str, path: str, guest: str) -> None:
    """Check that all was sent and arrived. Raises: CommandFailed."""
    code = _TAR.findall(ended.stderr)
    if ended.exit_code != 0 or not code or not _is_well(int(code[-1]), ended):
        raise _not_sent(ended, path, guest)
    sums = _SUM.findall(ended.stderr)
    if not sums or sums[-1] != digest:
        raise CommandFailed(
            f"What arrived of {path} from guest {guest} is damaged; nothing was kept.",
            exit_code=1,
            hint="Fetch it again.",
        )


def _is_well(code: int, ended: Completed) -> bool:
    """Return whether tar sent everything; GNU tar ends with 1 for changed files."""
    return code == 0 or (code == 1 and is_changed(ended))


def _not_sent(ended: Completed, path: str, guest: str) -> TestbedError:
    detail = last_lines(ended.stderr)
    code = ended.exit_code
    if code == IS_MISSING:
        message = f"There is no {path} in guest {guest}, or the user may not see it."
        return CommandFailed(message, exit_code=code, hint="Check the path.")
    if code == IS_SPECIAL:
        message = f"{path} in guest {guest} is neither a file nor a folder."
        return CommandFailed(message, exit_code=code)
    hint = ""
    if any(words in detail for words in _RIGHTS):
        hint = "The user may not read all of it. Choose root (sudo) or another user."
    elif "not found" in detail:
        hint = "The guest needs sh, tar, tee and sha256sum, and the user an account."
    message = f"Could not read all of {path} in guest {guest}; nothing was kept."
    return CommandFailed(message, exit_code=code or 1, hint=hint, detail=detail)
