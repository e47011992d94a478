"""Creates many overlays on one base of a host: one is made, the others are copies.

A fresh overlay does not contain its own name, so all on one base are alike. One command
makes them in place, one after the other: over SSH a command for each took ten times as
long (measured). Used by `instructions/storage/clone_disks.py`.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

from orchestration.errors import Cancelled, ImageFailed, TestbedError
from orchestration.events import Stream
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.transport.base import Scope, Transport, command

# Far below the limits of the kernel and sshd for the words of one command.
AT_ONCE = 200
TIMEOUT_S = 600.0
# $1 base, $2 its format, $3 folder, $4 a mark of its own, $5 the base's size or nothing;
# then the disks' names. An existing disk is left alone. All are written beside before
# the first has its name.
# A killed command's files are removed: half disks would keep images from being pruned.
_SCRIPT = """\
base=$1 format=$2 folder=$3 beside=$3/.clones.$4.part size=$5; shift 5; umask 077
trap 'rm -rf "$beside"' EXIT; trap 'exit 143' TERM HUP INT; trap '' PIPE
for disk; do shift; [ -e "$folder/$disk" ] || set -- "$@" "$disk"; done
[ $# -gt 0 ] || exit 0
find "$folder" -maxdepth 1 -name '.clones.*.part' -mmin +60 -exec rm -rf {} +
mkdir "$beside" && cd "$beside" || exit 1
qemu-img create -q ${size:+-u} -f qcow2 -F "$format" -b "$base" .first $size || exit 1
tee -- "$@" < .first > /dev/null || exit 1
mv -f -t "$folder" -- "$@"
result=$?
for disk; do [ -e "$disk" ] || printf '%s\\n' "$disk"; done
exit $result
"""


def create_overlays(
    transport: Transport,
    folder: str,
    names: Sequence[str],
    *,
    backing: str,
    backing_format: str,
    on_made: Callable[[str], None],
    size_bytes: int = 0,
    scope: Scope,
) -> None:
    """Make overlays as large as their base; those that exist are left alone.

    With `size_bytes`, the base's size, it is not opened: a user may have made it.
    `on_made` gets the names of the new ones, also when others fail. Not for simulated
    hosts: they run no scripts. Raises: ImageFailed, NotEnoughSpace, Cancelled.
    """
    failure = Failure(
        ImageFailed,
        f"The disks over {backing} could not be made on {transport.machine}.",
        f"Check that {backing} exists there.",
    )
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        mark = secrets.token_hex(4)
        size = str(size_bytes or "")
        words = (backing, backing_format, folder, mark, size, *some)
        try:
            run_or_fail(
                transport,
                command("sh", "-c", _SCRIPT, "sh", *words).with_root(),
                failure,
                scope=scope,
                timeout_s=TIMEOUT_S,
                on_line=lambda stream, text: (
                    on_made(text) if stream is Stream.STDOUT else None
                ),
            )
        except Cancelled:
            _remove_unfinished(transport, folder, mark, tag=scope.tag)
            raise


def _remove_unfinished(
    transport: Transport, folder: str, mark: str, *, tag: str
) -> None:
    """Remove the unfinished files of a shell that was killed before its clean-up."""
    remove = command("rm", "-rf", "--", f"{folder}/.clones.{mark}.part")
    with suppress(TestbedError):
        transport.run(remove.with_root(), scope=Scope(tag))
