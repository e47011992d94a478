"""Finds and deletes files of removed guests and dead workers among the artefacts.

A guest's removal deletes its disk at once; seed, XML, keys and console stay behind and
are found here by their guest's name. So are unfinished disks. The web calls this now
and then, with the guests of all testbeds; images belong to `pruning.py`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from orchestration.hosts import Host
from orchestration.inventory.images import ABANDONED_S, has_store
from orchestration.inventory.things import ARTEFACTS
from orchestration.transport.base import Scope, command

OF_GUEST = re.compile(
    r"(?P<guest>.+)-"
    r"(seed\.iso|seed\.sha256|domain\.xml|host-key(\.pub|\.report)?|console\.log)"
)
UNFINISHED = re.compile(r".+\.part")
# A younger file may belong to a thing that is just being made.
YOUNG_MINUTES = 60
# $1 minutes; files that were written to since they were listed stay, and locked ones.
_REMOVE = """\
age=$1; shift
for path; do
  [ ! -e "$path" ] || flock -n "$path" \\
    find "$path" -maxdepth 0 -type f -mmin "+$age" -print -delete
done
exit 0
"""

Guests = Mapping[str, Collection[str]]


def old_artefacts(host: Host, *, scope: Scope) -> tuple[str, ...]:
    """Return the old artefacts on a host, and the unfinished files.

    The latter only when they were not written to for a day.
    """
    if not has_store(host.state):
        return ()
    root = host.state.projects_dir
    depth = ("-mindepth", "3", "-maxdepth", "3", "-type", "f")
    words = (*depth, "-path", f"*/{ARTEFACTS}/*", "-mmin", f"+{YOUNG_MINUTES}")
    abandoned = ("-mmin", f"+{int(ABANDONED_S // 60)}")
    choice = ("(", "!", "-name", "*.part", "-o", *abandoned, ")")
    find = command("find", root, *words, *choice).with_root()
    listed = host.transport.run(find, scope=scope, check=False)
    return tuple(sorted(listed.stdout.splitlines()))


def stale_among(paths: Iterable[str], guests: Guests) -> tuple[str, ...]:
    """Return the paths that belong to no testbed's guest.

    `guests` are those that may exist, by testbed; folders of others are left alone.
    """
    found = []
    for path in map(PurePosixPath, paths):
        names = guests.get(path.parent.parent.name)
        if names is None:
            continue
        match = OF_GUEST.fullmatch(path.name)
        if UNFINISHED.fullmatch(path.name) or (match and match["guest"] not in names):
            found.append(str(path))
    return tuple(found)


def remove_artefacts(
    host: Host, paths: Collection[str], *, scope: Scope
) -> tuple[str, ...]:
    """Delete artefacts that are still old; return the deleted paths.

    Raises: HostUnreachable, CommandFailed.
    """
    if not paths:
        return ()
    remove = command("sh", "-c", _REMOVE, "sh", str(YOUNG_MINUTES), *paths)
    done = host.transport.run(remove.with_root(), scope=scope)
    return tuple(done.stdout.splitlines())
