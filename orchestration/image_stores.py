"""The images that a host keeps: what each one is, how large, and who needs it there.

`look` asks a host once: its folder of images, all layers in its projects, the disks of
its domains. What the states say is added by `image_users`, what goes is decided there
and done by `pruning`. A file is known by its name, which only we give: whatever else
lies in the folder is somebody's, and is left alone.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from orchestration.hosts import Host
from orchestration.providers.image_files import STORE, FileFacts, Found, look_into
from orchestration.providers.libvirt.disk_files import DomainFiles, domain_files
from orchestration.providers.qcow2_header import Header, file_names, named_files
from orchestration.providers.stamps import stamp_name
from orchestration.state.model import HostKind, HostState
from orchestration.transport.base import Scope

# Layers that lie outside the projects are followed so deep.
CHAIN_DEPTH = 8
# What is not written to for so long belongs to a worker that is dead. A copy that is
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
    """What a file in the folder of images is."""

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
    """What a worker left that died, or a link that broke; `path` as in `FileFacts`."""

    path: str
    disk_bytes: int
    changed_at: float


@dataclass(frozen=True, slots=True)
class Use:
    """Who needs an image: a guest of a testbed, or a domain or disk of nobody's."""

    testbed: str
    guest: str


Uses = Mapping[str, frozenset[Use]]


@dataclass(frozen=True, slots=True)
class Store:
    """One host's images. `uses` has those that layers and domains there need, by name.

    `unreadable` are layers that do not tell what they lie over.
    """

    host: str
    images: tuple[StoredImage, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    uses: Uses = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    total_bytes: int = 0
    free_bytes: int = 0
    now: float = 0.0

    def image(self, name: str) -> StoredImage | None:
        """Return an image by name."""
        return next((image for image in self.images if image.name == name), None)


def has_store(host: HostState) -> bool:
    """Say whether a host keeps files at all: a simulated one does not."""
    return host.kind is not HostKind.SIMULATED and bool(host.projects_dir)


def look(host: Host, *, scope: Scope) -> Store:
    """Look at a host's images. Raises: HostUnreachable, LibvirtFailed, CommandFailed."""
    if not has_store(host.state):
        return Store(host.state.name)
    domains = domain_files(host.libvirt)
    found, headers = _look_into(host, domains, scope)
    return Store(
        host.state.name,
        images=tuple(_images(found, headers, PurePosixPath(host.state.images_dir))),
        leftovers=tuple(_leftovers(found)),
        uses=_uses(host.state, headers, domains),
        unreadable=tuple(
            sorted(_shown(p) for p, h in headers.items() if h.backing is None)
        ),
        total_bytes=found.total_bytes,
        free_bytes=found.free_bytes,
        now=found.now,
    )


def freed_bytes(images: Iterable[StoredImage]) -> int:
    """Return what deleting these images of one host gives back.

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
    """Return what a file of this name is; None when it is not one of our images."""
    kinds = (kind for kind, pattern in NAMES.items() if pattern.fullmatch(name))
    return next(kinds, None)


def _look_into(
    host: Host, domains: Iterable[DomainFiles], scope: Scope
) -> tuple[Found, dict[str, Header]]:
    """Look, and follow chains of layers that lie elsewhere as far as they go."""
    folders = [
        PurePosixPath(f) for f in (host.state.images_dir, host.state.projects_dir)
    ]
    wanted = {file for domain in domains for file in domain.files}
    found, headers, asked = Found(), dict[str, Header](), set[str]()
    for depth in range(CHAIN_DEPTH):
        others = {f for f in wanted if not any(_is_in(f, one) for one in folders)}
        if depth and not others - asked:
            return found, headers
        found = look_into(
            host.transport,
            images_dir=str(folders[0]),
            projects_dir=str(folders[1]),
            others=sorted(others - asked),
            scope=scope,
        )
        headers |= found.headers
        asked |= others
        wanted = {file for one in headers.items() for file in _below(*one)}
    return found, headers | dict.fromkeys(asked - headers.keys(), Header(0, None))


def _is_in(path: str, folder: PurePosixPath) -> bool:
    return _plain(path).is_relative_to(_plain(str(folder)))


def _plain(path: str) -> PurePosixPath:
    """Return a path without `..`: layers name what they lie over from where they are."""
    return PurePosixPath(posixpath.normpath(path))


def _below(path: str, header: Header) -> set[str]:
    """Return the full paths of what a layer may lie over."""
    folder = PurePosixPath(path).parent
    return {str(folder / name) for name in named_files(header.backing or "") if name}


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


def _leftovers(found: Found) -> Iterator[Leftover]:
    paths = {file.path for file in found.files}
    for file in found.files:
        if _is_leftover(file, paths):
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


def _uses(
    host: HostState, headers: Mapping[str, Header], domains: Iterable[DomainFiles]
) -> Uses:
    found: dict[str, set[Use]] = {}
    for path, header in headers.items():
        for name in file_names(header.backing or ""):
            found.setdefault(name, set()).add(_owner(host, path))
    for domain in domains:
        use = Use(domain.mark.testbed, domain.mark.guest or domain.name)
        for file in domain.files:
            found.setdefault(PurePosixPath(file).name, set()).add(use)
    return {name: frozenset(uses) for name, uses in found.items() if kind_of(name)}


def _owner(host: HostState, path: str) -> Use:
    """Say whose a layer is: projects/TESTBED/artefacts/GUEST-disk.qcow2."""
    if not _is_in(path, PurePosixPath(host.projects_dir)):
        return Use("", _shown(path))
    parts = _plain(_shown(path)).relative_to(_plain(host.projects_dir)).parts
    match = _DISK.fullmatch(parts[-1])
    return Use(parts[0], match["guest"] if match else parts[-1])


def _shown(path: str) -> str:
    """Return a path that is text, also where its bytes are none."""
    return path.encode(errors="replace").decode()
