"""Overlays of clones, written instead of made: one is like the other.

Used by `disks.py` where several clones of one golden image are made on a host. A
golden image's name follows from its content, so that what was read once stays true as
long as this process lives.
"""

import threading

from orchestration.instructions.base import Task
from orchestration.instructions.prepare import is_simulated
from orchestration.providers import qemu_img
from orchestration.state.model import GuestState

# Reading a template costs as much as making three overlays.
WORTH_IT = 4
KEPT = 64

_lock = threading.Lock()
_read: dict[tuple[str, str], bytes] = {}


def template_for(task: Task, guest: GuestState, backing_format: str) -> bytes:
    """Return the bytes of an overlay on the clone's golden image, or none."""
    image = guest.image
    if not image.golden or task.peers < WORTH_IT or is_simulated(task):
        return b""
    transport = task.host.transport
    key = (transport.machine, image.path)
    with _lock:
        if key not in _read:
            if len(_read) >= KEPT:
                _read.clear()
            _read[key] = qemu_img.read_template(
                transport,
                guest.artefacts_dir,
                backing=image.path,
                backing_format=backing_format,
                scope=task.scope,
            )
        return _read[key]
