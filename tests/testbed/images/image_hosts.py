"""Two real hosts for tests of images: their folders are here, main's is the product's.

`Machines` stands in for `Hosts`: each host is this machine with folders of its own; one
in `dead` does not answer, and one in `read_errors` reports a file that it cannot read.
"""

from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestration.errors import HostUnreachable
from orchestration.hosts import Host as OpenedHost
from orchestration.state.model import HostState
from orchestration.transport.base import Transport
from orchestration.transport.local import LocalTransport
from testbed.images import pruning, stale_files
from testbed.models import Host
from tests.orchestration.providers.libvirt.samples import open_simulated
from tests.orchestration.stores import StoreFolder, unreadable


class Machines:
    """Main and host-b."""

    def __init__(self, root: Path) -> None:
        self.main = StoreFolder(root / "main")
        self.other = StoreFolder(root / "host-b")
        self.dead: set[str] = set()
        self.read_errors: dict[str, str] = {}
        self._root = root
        self._stack = ExitStack()

    def add_rows(self, settings: object) -> None:
        settings.TESTBEDS_DIR = self.main.projects
        settings.IMAGES_DIR = self.main.images
        settings.LOCAL_CATALOGUE = self.main.images / "local.json"
        size = {"cpus": 8, "memory_mib": 16384}
        Host.objects.create(name="main", is_main=True, address="192.0.2.1", **size)
        Host.objects.create(
            name="host-b",
            address="192.0.2.2",
            tunnel_address="192.0.2.2",
            projects_dir=str(self.other.projects),
            images_dir=str(self.other.images),
            **size,
        )

    def open(self, state: HostState) -> OpenedHost:
        conn = open_simulated(self._root / f"libvirt-{state.name}")
        self._stack.callback(conn.close)
        host = OpenedHost(state, LocalTransport(state.name), conn)
        error = self.read_errors.get(state.name)
        return unreadable(host, error) if error else host

    def require_answer(self, transport: Transport) -> None:
        if transport.machine in self.dead:
            raise HostUnreachable(f"Host {transport.machine} does not answer.")

    def close(self) -> None:
        self._stack.close()


def stand_in(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tasks reach these machines."""
    for module in (pruning, stale_files):
        monkeypatch.setattr(module, "require_answer", machines.require_answer)
        monkeypatch.setattr(module, "kept_hosts", lambda: machines)
