"""Rules about images of the catalogue that have no cloud-init: their guests only run.

Part of `compose/check.py`. The testbed cannot set up anything inside such a guest, so
keys that request it are errors. Pure.
"""

from collections.abc import Iterator

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.draft import Draft, Drafted
from orchestration.compose.language.schema import CloudImage, Libvirt
from orchestration.compose.language.written import GoldenScaling
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import Finding

IN_IMAGE = ("setup_script", "run_script", "context", "environment", "guest_agent")
OF_CLONES = ("shared_setup", "clone_setup", "clone_run")
OF_GUEST = ("username", "password")


def check_images(
    draft: Draft, positions: Positions, catalogue: Catalogue
) -> Iterator[Finding]:
    """Check the guests of images that cannot be set up."""
    for drafted in draft.machines:
        kind = drafted.machine.kind
        disk = kind.libvirt_type if isinstance(kind, Libvirt) else None
        if not isinstance(disk, CloudImage) or disk.name not in catalogue:
            continue
        if not catalogue[disk.name].has_cloud_init:
            yield from _unconfigurable(drafted, disk, positions)


def _unconfigurable(
    drafted: Drafted, disk: CloudImage, positions: Positions
) -> Iterator[Finding]:
    lost = tuple(_lost(drafted, disk))
    for path in lost:
        yield positions.error(
            path,
            f"`{path[-1]}` cannot be used with `{disk.name}`: it has no cloud-init.",
            "Remove it, or choose another image.",
            at_key=True,
        )
    if not lost:
        yield positions.warning(
            (*drafted.disk_path, "name"),
            f"`{disk.name}` has no cloud-init: the guest gets no account, key or fixed "
            "address from the testbed, and is ready when it runs.",
            "Choose another image unless that is enough.",
        )


def _lost(drafted: Drafted, disk: CloudImage) -> Iterator[Path]:
    """Yield the paths of keys that would have no effect."""
    kind, scaling = drafted.machine.kind, drafted.scaling
    yield from ((*drafted.disk_path, k) for k in IN_IMAGE if getattr(disk, k))
    yield from ((*drafted.kind_path, k) for k in OF_GUEST if getattr(kind, k, None))
    if isinstance(scaling, GoldenScaling):
        below = (*drafted.kind_path, "scaling")
        yield from ((*below, key) for key in OF_CLONES if getattr(scaling, key))
