"""Files that removed guests left on a host, and copies of users' disks without users.

A guest that goes takes its disk along at once; seed, XML, keys and console stay
behind and are found here by their guest's name. Copies of users' disks are in a
host's images folder; one is kept while any disk there is a layer over it, whatever
the states say. The web calls this now and then, with the states of all testbeds.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from orchestration.hosts import Host
from orchestration.inventory import ARTEFACTS
from orchestration.state.model import HostKind, State
from orchestration.transport.base import Scope, command

OF_GUEST = re.compile(
    r"(?P<guest>.+)-"
    r"(seed\.iso|seed\.sha256|domain\.xml|host-key|host-key\.pub|console\.log)"
)
OWN_COPY = re.compile(r"own-[0-9a-f]{16}")
# What is younger may belong to something that is just being made.
YOUNG_MINUTES = 60
YOUNG_COPY_MINUTES = 24 * 60
# Names of own copies in the first bytes of all disks: their layers' bases.
_BASES = """\
find "$1" -name '*.qcow2' -type f -exec head -qc 4096 {} + |
grep -aoE 'own-[0-9a-f]{16}' | sort -u
"""


def stale_artefacts(
    host: Host, states: Mapping[str, State], *, scope: Scope
) -> tuple[str, ...]:
    """Return the artefacts on a host of guests that no state has.

    `states` are everything that may exist, by testbed; folders of others are left
    alone.
    """
    paths = map(PurePosixPath, _artefacts(host, scope))
    names = {
        slug: {guest.name for guest in state.machines} for slug, state in states.items()
    }
    found = []
    for path in paths:
        slug, match = path.parent.parent.name, OF_GUEST.fullmatch(path.name)
        if match and slug in names and match["guest"] not in names[slug]:
            found.append(str(path))
    return tuple(sorted(found))


def unused_copies(
    host: Host, states: Collection[State], *, scope: Scope
) -> tuple[str, ...]:
    """Return the copies of users' disks on a host that nothing refers to."""
    if not _has_files(host) or host.state.is_main:
        return ()
    old = ("-mmin", f"+{YOUNG_COPY_MINUTES}")
    words = ("-maxdepth", "1", "-type", "f", "-name", "own-*", *old)
    paths = _found(host, host.state.images_dir, *words, scope=scope)
    if not paths:
        return ()
    script = command("sh", "-c", _BASES, "sh", host.state.projects_dir).with_root()
    bases = set(host.transport.run(script, scope=scope).stdout.split())
    named = {guest.image.path for state in states for guest in state.machines}
    return tuple(
        path for path in paths if path not in named and _own(path) not in bases
    )


def remove_files(host: Host, paths: Sequence[str], *, scope: Scope) -> None:
    """Delete files. Raises: HostUnreachable, CommandFailed."""
    if paths:
        remove = command("rm", "-f", "--", *paths).with_root()
        host.transport.run(remove, scope=scope)


def _artefacts(host: Host, scope: Scope) -> list[str]:
    root, old = host.state.projects_dir, ("-mmin", f"+{YOUNG_MINUTES}")
    if not _has_files(host):
        return []
    depth = ("-mindepth", "3", "-maxdepth", "3")
    words = (*depth, "-type", "f", "-path", f"*/{ARTEFACTS}/*", *old)
    return _found(host, root, *words, scope=scope)


def _has_files(host: Host) -> bool:
    return host.state.kind is not HostKind.SIMULATED and bool(host.state.projects_dir)


def _found(host: Host, folder: str, *words: str, scope: Scope) -> list[str]:
    find = command("find", folder, *words).with_root()
    listed = host.transport.run(find, scope=scope, check=False)
    return listed.stdout.splitlines()


def _own(path: str) -> str:
    found = OWN_COPY.match(PurePosixPath(path).name)
    return found[0] if found else ""
