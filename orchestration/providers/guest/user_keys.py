"""Writes users' public SSH keys into the `authorized_keys` of a guest's account.

They stand between two marks; all other lines stay byte for byte as they are, the
testbed's own key among them. `instructions/boot/user_keys.py` says when.
"""

from collections.abc import Sequence
from hashlib import sha256

from orchestration.transport.base import Scope, Transport, command

BEGIN = "# BEGIN keys of testbed users: replaced by the testbed"
END = "# END keys of testbed users"
TIMEOUT_S = 60.0
# $1 and $2 are the marks; the new block is stdin. Lines after a first mark without its
# second are kept: the testbed's own key may be among them. The rename is on the disk
# before its end is reported: a removed key must not come back with a power cut.
WRITE = """\
set -eu
umask 077
folder=$HOME/.ssh
file=$folder/authorized_keys
new=$file.testbed
mkdir -p "$folder"
[ -e "$file" ] || : > "$file"
trap 'rm -f "$new"' EXIT
awk -v begin="$1" -v end="$2" '
  $0 == begin { printf "%s", held; held = ""; inside = 1; next }
  inside && $0 == end { held = ""; inside = 0; next }
  inside { held = held $0 "\\n"; next }
  { print }
  END { printf "%s", held }
' "$file" > "$new"
cat >> "$new"
mv -f "$new" "$file"
sync
"""


def keys_digest(lines: Sequence[str]) -> str:
    """Return the digest of keys as a guest has them; empty for none."""
    return sha256(_block(lines)).hexdigest() if lines else ""


def write_keys(transport: Transport, lines: Sequence[str], *, scope: Scope) -> None:
    """Replace the users' keys in the account that the transport logs in to.

    Raises: CommandFailed, CommandTimedOut, HostUnreachable, Cancelled.
    """
    block = _block(lines) if lines else b""
    write = command("sh", "-c", WRITE, "keys", BEGIN, END, stdin=block)
    transport.run(write, scope=scope, timeout_s=TIMEOUT_S)


def _block(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in (BEGIN, *lines, END)).encode()
