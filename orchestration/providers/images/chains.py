"""Finds all layers of a host, and the files below each, at any place.

Chains are followed as the kernel would, from the folders of images and projects and the
domains' disks: out of the folders, into subfolders, and through links. Used by
`inventory/images.py`, which interprets the names. Nothing is changed or judged here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.providers.images.listing import (
    Found,
    Identity,
    look_into,
    read_names,
)
from orchestration.providers.images.qcow2 import Header, named_files
from orchestration.transport.base import Scope, Transport

# Each layer that lies elsewhere costs a command; in the folders one shows all.
CHAIN_DEPTH = 16
TOO_DEEP = f"it is more than {CHAIN_DEPTH} layers deep"


@dataclass(frozen=True, slots=True)
class Chains:
    """The files found: the folder of images, and all layers by full path.

    `at` maps the followed paths to the files they lead to. `unread` maps paths to the
    reason why the files below them are unknown.
    """

    found: Found
    headers: Mapping[str, Header]
    at: Mapping[str, Identity]
    unread: Mapping[str, str]


def follow_chains(
    transport: Transport,
    *,
    images_dir: str,
    projects_dir: str,
    disks: Collection[str],
    scope: Scope,
) -> Chains:
    """Read both folders, `disks`, and all files below these.

    Raises: HostUnreachable, CommandFailed.
    """
    folder = PurePosixPath(images_dir)
    asked = {disk for disk in disks if not PurePosixPath(disk).is_relative_to(folder)}
    found = look_into(
        transport,
        images_dir=images_dir,
        projects_dir=projects_dir,
        others=sorted(asked),
        scope=scope,
    )
    images = {str(folder / file.path) for file in found.files if "/" not in file.path}
    headers, at, unread = dict(found.headers), dict(found.at), dict(found.unread)
    for depth in range(CHAIN_DEPTH + 1):
        _read_far_names(transport, headers, scope)
        below = {file for one in headers.items() for file in files_below(*one)}
        new = {*disks, *below} - asked - images - headers.keys()
        if not new or depth == CHAIN_DEPTH:
            unread |= dict.fromkeys(new, TOO_DEEP)
            break
        more = look_into(transport, others=sorted(new), scope=scope)
        headers |= more.headers
        at |= more.at
        unread |= more.unread
        asked |= new
    return Chains(found, headers, at, unread)


def files_below(path: str, header: Header) -> Iterator[str]:
    """Yield the full paths of the files that may be below a layer."""
    folder = PurePosixPath(path).parent
    return (str(folder / name) for name in named_files(header.backing) if name)


def _read_far_names(
    transport: Transport, headers: dict[str, Header], scope: Scope
) -> None:
    """Complete the headers whose name was not in reach."""
    places = {path: header.far for path, header in headers.items() if header.far}
    if places:
        names = read_names(transport, places, scope=scope)
        for path, name in names.items():
            headers[path] = Header(headers[path].virtual_bytes, name)
