"""Defining a guest's domain: its text, and what its disk lies over now.

The artefact is made before there is a disk, and a disk may still lie over an image
that was renewed since: so the chain is looked at whenever a domain is defined. Used
by the instructions that start guests, prepare golden images and change interfaces.
"""

from orchestration.instructions.base import Task
from orchestration.instructions.disks import not_whole
from orchestration.instructions.prepare import local_artefact
from orchestration.providers.images import qemu_img
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.xml.backing import with_layers
from orchestration.state.model import GuestState


def define(task: Task, guest: GuestState) -> None:
    """Define a guest's domain. Raises: ImageFailed when its disk's chain is broken.

    A user may exchange his file after `disks` looked at it. What is defined here ends
    with that file: QEMU then follows none that it names.
    """
    text = local_artefact(task, guest.xml).read_text()
    if guest.disk:
        layers = qemu_img.require_chain(
            task.host.transport,
            guest.disk,
            over=guest.image.path if guest.golden and guest.image.golden else "",
            scope=task.scope,
        )
        if guest.image.is_own and len(layers) > 1:
            raise not_whole(guest, layers[1].path)
        text = with_layers(text, guest.disk, layers)
    domains.define(task.host.libvirt, text)
