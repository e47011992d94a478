"""The sizes to which guests' disks may grow.

A disk is created thin; it takes its whole size once its guest has filled it. Pure: the
sizes of images are the caller's. The web compares the sums with the space of the hosts.
"""

from collections.abc import Callable, Mapping

from orchestration.state.model import GuestState, State
from orchestration.state.model.images import DiskOrigin, ImageState

GIB = 1024**3
SizeOf = Callable[[ImageState], int]


def disk_bytes(state: State, size_of: SizeOf) -> dict[str, int]:
    """Return the full size of each guest's disk by the guest's name.

    `size_of` returns the size of a disk made from an image. Hosts without files of
    their own have none.
    """
    goldens = {golden.name: golden.guest for golden in state.goldens}
    keeping = {host.name for host in state.hosts if host.keeps_images}
    return {
        guest.name: _bytes(guest, goldens, size_of) if guest.host in keeping else 0
        for guest in state.guests
    }


def _bytes(
    guest: GuestState, goldens: Mapping[str, GuestState], size_of: SizeOf
) -> int:
    is_linked = guest.disk_origin is DiskOrigin.LINKED
    if not guest.disk or (is_linked and guest.is_readonly):
        return 0
    if guest.disk_origin is DiskOrigin.BLANK:
        return guest.expand_gib * GIB
    if guest.image.golden and guest.golden in goldens:
        return _bytes(goldens[guest.golden], {}, size_of)
    return size_of(guest.image) + guest.expand_gib * GIB
