"""Deletes an unused image, safe against runs that begin at the same moment.

An image is deleted under the locks with which runs fetch, prepare and push it. But a
run also looks for an image without a lock, and may have found it after the check for
users. So the image is first renamed to a name that no run looks for. Then the check is
repeated, and the image is deleted or renamed back. The caller provides the check; a
state is always written before its run does anything.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchestration.errors import Cancelled
from orchestration.hosts import Host
from orchestration.inventory.images import ABANDONED_S, Leftover, StoredImage
from orchestration.providers.images.digests import stamp_name
from orchestration.providers.images.locks import locked
from orchestration.transport.base import Scope, command, no_log

# A file system needs a while to free the blocks of a large file.
DELETE_TIMEOUT_S = 100.0
# $1 the image, $2 its name while it is put aside.
_ASIDE = 'if [ -e "$1" ]; then mv -f "$1" "$2" && echo moved; fi'
# An image that was made anew meanwhile is the better one.
_BACK = '[ ! -e "$2" ] || { mv -nT "$2" "$1"; [ -e "$1" ] && rm -f "$2"; }'
# $3 its stamp, $4 the same content under its digest, or nothing. It goes with its last
# name.
_GONE = """\
rm -f -- "$2" || exit
[ -e "$1" ] || rm -f -- "$3" || exit
[ -z "$4" ] || [ ! -e "$4" ] || [ "$(stat -c %h "$4")" != 1 ] || rm -f -- "$4"
"""
# $1 age in minutes; files that were written to or renamed since stay, and locked ones.
_SWEEP = """\
age=$1; shift
for path; do
  case $path in */.store/*-*.part*) links= ;; */.store/*) links=-links\\ 1 ;; *) links= ;; esac
  [ ! -e "$path" ] || flock -n "$path" find "$path" -maxdepth 0 -type f \\
    -mmin "+$age" -cmin "+$age" $links -print -delete
done
exit 0
"""


@dataclass(frozen=True, slots=True)
class Locks:
    """The place of the locks that guard images: main's folder of images."""

    folder: Path

    @contextmanager
    def held(self, host: Host, name: str) -> Iterator[bool]:
        """Hold a run's lock on an image; yield False when a run holds it.

        On main that is its name, elsewhere its content where that is known.
        """
        purposes = ("fetch", "golden") if host.state.is_main else ()
        never_waits = Scope()
        never_waits.cancel()
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                for purpose in purposes or (f"push-{host.state.name}",):
                    target = self.folder / name
                    lock = locked(target, never_waits, no_log, purpose=purpose)
                    stack.enter_context(lock)
            except Cancelled:
                is_held = False
            else:
                is_held = True
            yield is_held


def remove_image(
    host: Host,
    image: StoredImage,
    *,
    locks: Locks,
    is_unused: Callable[[], bool],
    scope: Scope,
) -> str:
    """Delete an image; return why it was kept, or nothing when it is gone.

    `is_unused` checks anew at each call. Raises: HostUnreachable, CommandFailed, and
    the errors of `is_unused`.
    """
    path = str(PurePosixPath(host.state.images_dir, image.name))
    aside = f".{image.name}.{secrets.token_hex(4)}.pruned"
    names = (path, str(PurePosixPath(path).with_name(aside)))
    blob = "" if host.state.is_main else image.blob
    with locks.held(host, PurePosixPath(blob or image.name).name) as is_held:
        if not is_held:
            return "a run is working on it"
        if not is_unused():
            return "it is in use now"
        if not _run(host, _ASIDE, *names, scope=scope):
            return ""
        try:
            may_go = is_unused()
        except BaseException:
            _run(host, _BACK, *names, scope=Scope(scope.tag))
            raise
        if not may_go:
            _run(host, _BACK, *names, scope=scope)
            return "it is in use now"
        content = str(PurePosixPath(host.state.images_dir, image.blob))
        rest = (stamp_name(path), content if image.blob else "")
        _run(host, _GONE, *names, *rest, scope=scope)
    return ""


def remove_leftovers(
    host: Host,
    leftovers: Iterable[Leftover],
    *,
    locks: Locks,
    age_s: float = ABANDONED_S,
    scope: Scope,
) -> frozenset[str]:
    """Delete leftovers that are unwritten for so long; return the deleted paths.

    A file that a run has locked stays. Raises: HostUnreachable, CommandFailed.
    """
    folder = str(PurePosixPath(host.state.images_dir))
    keys: dict[str, list[str]] = {}
    for left in leftovers:
        keys.setdefault(_key_of(left.path), []).append(f"{folder}/{left.path}")
    age, gone = str(int(age_s // 60)), set[str]()
    for key, paths in keys.items():
        with locks.held(host, key) as is_held:
            if is_held:
                gone |= set(_run(host, _SWEEP, age, *paths, scope=scope).splitlines())
    return frozenset(path.removeprefix(f"{folder}/") for path in gone)


def is_ripe(left: Leftover, now: float, age_s: float = ABANDONED_S) -> bool:
    """Return whether a leftover is old enough to be deleted."""
    return now - left.changed_at > age_s


def _key_of(path: str) -> str:
    """Return the name under which runs lock the image of an unfinished file."""
    name = PurePosixPath(path).name
    for ending in (".at", ".part", ".new"):
        name = name.removesuffix(ending)
    return name


def _run(host: Host, script: str, *words: str, scope: Scope) -> str:
    cmd = command("sh", "-c", script, "sh", *words).with_root()
    done = host.transport.run(cmd, scope=scope, timeout_s=DELETE_TIMEOUT_S)
    return done.stdout
