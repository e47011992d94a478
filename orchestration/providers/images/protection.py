"""Makes image files below guests' disks root's and read-only.

A host's image store guards its contents with `guard` when they arrive; the images of
main are guarded at their use. A file that is guarded shows `GUARDED` in `stat`.
"""

import stat
from pathlib import Path

from orchestration.transport.base import Command, Scope, Transport, command

# `stat -c %u:%a` of a file that root owns and all may only read.
GUARDED = "0:444"


def ensure_guarded(transport: Transport, target: Path, *, scope: Scope) -> None:
    """Make an image of this machine root's and read-only.

    The target of an admin's link stays as it is.
    """
    if target.is_symlink():
        return
    status = target.stat()
    if f"{status.st_uid}:{stat.S_IMODE(status.st_mode):o}" != GUARDED:
        transport.run(guard(str(target)), scope=scope)


def guard(path: str) -> Command:
    """Build the command that makes a file readable for all and writable for none."""
    script = 'chown 0:0 "$1" && chmod 0444 "$1"'
    return command("sh", "-c", script, "sh", path).with_root()
