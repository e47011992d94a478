"""Hears from libvirt when a guest is paused: a pause may be shorter than one look.

The daemon of a namespace host answers on a socket in the host's own file system, which
the process that keeps the host leads to.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from orchestration.providers.libvirt import events
from tests.live.namespace_host import NamespaceHost

SOCKET = "/proc/{pid}/root/run/libvirt/libvirt-sock"


@contextmanager
def pauses(*hosts: NamespaceHost) -> Iterator[threading.Semaphore]:
    """Give a count of the pauses of guests on these hosts, from now on."""
    paused = threading.Semaphore(0)

    def hear(_connection, _domain, event: int, *_: object) -> None:
        if event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
            paused.release()

    events.start()
    connections = [libvirt.open(_address(host)) for host in hosts]
    kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
    numbers = [
        one.domainEventRegisterAny(None, kind, hear, None) for one in connections
    ]
    try:
        yield paused
    finally:
        for one, number in zip(connections, numbers, strict=True):
            one.domainEventDeregisterAny(number)
            one.close()


def _address(host: NamespaceHost) -> str:
    pid = (host.folder / "holder.pid").read_text().strip()
    return f"qemu+unix:///system?socket={SOCKET.format(pid=pid)}"
