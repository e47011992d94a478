"""Lists the images that a host keeps, with kind, size and users there.

`observe` asks a host once: its folder of images, all layers in its projects, the disks
of its domains. `image_uses.py` adds the needs of the states and decides, `pruning.py`
deletes. A file is known by its name, which only we give: any other file in the folder
is foreign, and is left alone.
"""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from orchestration.hosts import Host
from orchestration.providers.images.chains import Chains, files_below, follow_chains
from orchestration.providers.images.digests import stamp_name
from orchestration.providers.images.listing import STORE, FileFacts, Found, Identity
from orchestration.providers.images.qcow2 import Header
from orchestration.providers.libvirt.domains import disk_files
from orchestration.providers.libvirt.facts.domains import DomainFiles
from orchestration.state.model import HostState
from orchestration.transport.base import Scope

# A file that is not written to for so long belongs to a dead worker. A copy that is
# still wanted is only taken up again from its first byte.
ABANDONED_S = 24 * 3600.0

BLOB = re.compile(r"(sha256|sha512)-[0-9a-f]+")
# Downloads, copies, renames and removals that were not finished.
_UNFINISHED = re.compile(
    r"\..+\.([0-9a-f]{8}\.(part|pruned)|link)"
    r"|golden-[0-9a-f]{16}\.qcow2\.new(\.part)?"
    r"|(?P<image>.+)\.part(\.at)?"
)


class ImageKind(StrEnum):
    """The kind of a file in the folder of images."""

    BASE = "base image"
    GOLDEN = "golden image"
    OWN = "copy of a user's disk"


NAMES = {
    ImageKind.GOLDEN: re.compile(r"golden-[0-9a-f]{16}\.qcow2"),
    ImageKind.OWN: re.compile(r"own-[0-9a-f]{16}(\.(?!part$)[^./]{0,7})?"),
    ImageKind.BASE: re.compile(
        r"[a-z0-9][a-z0-9_.-]*-([0-9a-f]{16}|unverified)\.(qcow2|raw)"
    ),
}
_DISK = re.compile(r"(?P<guest>.+)-disk\.qcow2(\.part)?")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image on one host; `blob` is the content-addressed name of the same file.

    `links` counts all names of the file `inode`, also those.
    """

    name: str
    kind: ImageKind
    disk_bytes: int
    size_bytes: int
    virtual_bytes: int
    made_at: float
    used_at: float
    inode: int
    links: int = 1
    blob: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file of a dead worker, or of a broken link; `path` as in `FileFacts`."""

    path: str
    disk_bytes: int
    changed_at: float


@dataclass(frozen=True, slots=True)
class Use:
    """A user of an image: a guest of a testbed, or a foreign domain or disk."""

    testbed: str
    guest: str


Uses = Mapping[str, frozenset[Use]]


@dataclass(frozen=True, slots=True)
class Store:
    """One host's images. `uses` maps names to the users among its layers and domains.

    `unreadable` are sentences about layers that may lie over any. Guests' disks are in
    the folder of projects: on its file system `projects_free_bytes` are free, and the
    projects' artefacts, disks among them, take `artefact_bytes`.
    """

    host: str
    images: tuple[StoredImage, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    uses: Uses = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    total_bytes: int = 0
    free_bytes: int = 0
    projects_free_bytes: int | None = None
    artefact_bytes: int = 0
    now: float = 0.0

    def image(self, name: str) -> StoredImage | None:
        """Return an image by name."""
        return next((image for image in self.images if image.name == name), None)


def has_store(host: HostState) -> bool:
    """Return whether a host keeps files at all: a simulated one does not."""
    return host.keeps_images and bool(host.projects_dir)


def observe(host: Host, *, scope: Scope) -> Store:
    """Read a host's images. Raises: HostUnreachable, LibvirtFailed, CommandFailed."""
    if not has_store(host.state):
        return Store(host.state.name)
    domains = disk_files(host.libvirt)
    seen = follow_chains(
        host.transport,
        images_dir=str(PurePosixPath(host.state.images_dir)),
        projects_dir=str(PurePosixPath(host.state.projects_dir)),
        disks={file for domain in domains for file in domain.files},
        scope=scope,
    )
    found, users = seen.found, _users(host.state, seen, domains)
    folder = PurePosixPath(host.state.images_dir)
    return Store(
        host.state.name,
        images=tuple(_images(found, seen.headers, folder)),
        leftovers=tuple(_leftovers(found, {seen.at.get(path) for path in users})),
        uses=_uses(seen, users),
        unreadable=tuple(sorted(_unread(host.state, seen, users))),
        total_bytes=found.total_bytes,
        free_bytes=found.free_bytes,
        projects_free_bytes=found.projects_free_bytes,
        artefact_bytes=found.artefact_bytes,
        now=found.now,
    )


def freed_bytes(images: Iterable[StoredImage]) -> int:
    """Return the bytes that deleting these images of one host frees.

    A file that has another name besides stays.
    """
    files: dict[int, list[StoredImage]] = {}
    for image in images:
        files.setdefault(image.inode, []).append(image)
    return sum(
        names[0].disk_bytes
        for names in files.values()
        if names[0].links - bool(names[0].blob) <= len(names)
    )


def kind_of(name: str) -> ImageKind | None:
    """Return the kind of a file by its name; None when it is not one of our images."""
    kinds = (kind for kind, pattern in NAMES.items() if pattern.fullmatch(name))
    return next(kinds, None)


def _plain(path: str) -> PurePosixPath:
    """Return a path without `..`: layers name their backing relative to themselves."""
    return PurePosixPath(posixpath.normpath(path))


def _images(
    found: Found, headers: Mapping[str, Header], folder: PurePosixPath
) -> Iterator[StoredImage]:
    blobs = {f.inode: f.path for f in found.files if f.path.startswith(f"{STORE}/")}
    for file in found.files:
        kind = kind_of(file.path)
        if kind is None:
            continue
        header = headers.get(str(folder / file.path))
        yield StoredImage(
            file.path,
            kind,
            file.disk_bytes,
            file.size_bytes,
            header.virtual_bytes if header else file.size_bytes,
            made_at=file.changed_at,
            used_at=max(file.changed_at, file.placed_at, file.read_at),
            inode=file.inode,
            links=file.links,
            blob=blobs.get(file.inode, ""),
        )


def _leftovers(found: Found, used: Collection[Identity | None]) -> Iterator[Leftover]:
    paths = {file.path for file in found.files}
    for file in found.files:
        if file.identity not in used and _is_leftover(file, paths):
            last = max(file.changed_at, file.placed_at)
            yield Leftover(file.path, file.disk_bytes, last)


def _is_leftover(file: FileFacts, paths: set[str]) -> bool:
    folder, _, name = file.path.rpartition("/")
    stamped = name.removesuffix(stamp_name(""))
    if stamped != name:
        return not folder and kind_of(stamped) is not None and stamped not in paths
    if folder and BLOB.fullmatch(name):
        return file.links == 1
    match = _UNFINISHED.fullmatch(name)
    if match is None or not match["image"] or folder:
        return match is not None
    return kind_of(match["image"]) is not None


def _users(
    host: HostState, seen: Chains, domains: Iterable[DomainFiles]
) -> dict[str, set[Use]]:
    """Return the users of each file, by its full path."""
    users: dict[str, set[Use]] = {}
    for path, header in seen.headers.items():
        for file in files_below(path, header):
            users.setdefault(file, set()).add(_owner(host, path))
    for domain in domains:
        use = Use(domain.mark.testbed, domain.mark.guest or domain.name)
        for file in domain.files:
            users.setdefault(file, set()).add(use)
    return users


def _uses(seen: Chains, users: Mapping[str, set[Use]]) -> Uses:
    """Return the users of each image: by its name, at any place, and as a file."""
    names: dict[Identity, set[str]] = {}
    for file in seen.found.files:
        names.setdefault(file.identity, set()).add(file.path)
    found: dict[str, set[Use]] = {}
    for path, uses in users.items():
        leads_to = names.get(seen.at[path], set()) if path in seen.at else set()
        for name in {PurePosixPath(path).name, *leads_to}:
            found.setdefault(name, set()).update(uses)
    return {name: frozenset(uses) for name, uses in found.items() if kind_of(name)}


def _unread(
    host: HostState, seen: Chains, users: Mapping[str, set[Use]]
) -> Iterator[str]:
    """Describe each layer that may lie over any image: its owner, and the remedy."""
    for path, why in seen.unread.items():
        owners = {_owner(host, path), *users.get(path, ())}
        names = sorted({use.testbed for use in owners} - {""})
        whose = f" of testbed {', '.join(names)}" if names else ""
        yield (
            f"{_shown(path)}{whose} may lie over any image ({why}): let it be read, or "
            "delete it there"
        )


def _owner(host: HostState, path: str) -> Use:
    """Return a layer's owner: projects/TESTBED/artefacts/GUEST-disk.qcow2."""
    folder, shown = _plain(host.projects_dir), _plain(_shown(path))
    if folder not in shown.parents:
        return Use("", _shown(path))
    parts = shown.relative_to(folder).parts
    match = _DISK.fullmatch(parts[-1])
    return Use(parts[0], match["guest"] if match else parts[-1])


def _shown(path: str) -> str:
    """Return a path as text, also when its bytes are none."""
    return path.encode(errors="replace").decode()
