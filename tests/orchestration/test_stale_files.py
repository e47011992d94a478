"""Files that removed guests left: found by name and age on a machine's real disk."""

import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration.hosts import Host
from orchestration.stale_files import remove_files, stale_artefacts, unused_copies
from orchestration.state.model import HostKind, HostState, State
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.state.samples import build, machine, spec_of

OWN = "own-0123456789abcdef.qcow2"
OTHER = "own-fedcba9876543210.img"


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    """A remote host whose folders are here."""
    state = HostState(
        name="host-b",
        projects_dir=str(tmp_path / "projects"),
        images_dir=str(tmp_path / "images"),
    )
    for folder in (state.projects_dir, state.images_dir):
        Path(folder).mkdir()
    return Host(state, LocalTransport("host-b"), SimpleNamespace())


def put(path: str, *, days: float = 2.0, content: bytes = b"x") -> str:
    """A file of a certain age."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


def state(*guests: str) -> State:
    machines = [machine(name, "br0") for name in guests]
    return build(spec_of(*machines, bridges=("br0",)))


def test_artefacts_of_a_guest_that_no_state_has_are_stale(host: Host) -> None:
    folder = f"{host.state.projects_dir}/lab/artefacts"
    endings = ("seed.iso", "seed.sha256", "domain.xml", "host-key", "host-key.pub")
    for guest in ("web", "gone", "gone-too"):
        for ending in (*endings, "console.log", "disk.qcow2"):
            put(f"{folder}/{guest}-{ending}")
    put(f"{folder}/notes.txt")

    found = stale_artefacts(host, {"lab": state("web")}, scope=Scope())

    assert set(found) == {
        f"{folder}/{guest}-{ending}"
        for guest in ("gone", "gone-too")
        for ending in (*endings, "console.log")
    }
    remove_files(host, found, scope=Scope())
    left = {path.name for path in Path(folder).iterdir()}
    assert "gone-disk.qcow2" in left
    assert "web-seed.iso" in left
    assert "gone-seed.iso" not in left


def test_young_files_and_those_of_unknown_testbeds_stay(host: Host) -> None:
    root = host.state.projects_dir
    put(f"{root}/lab/artefacts/gone-seed.iso", days=0.01)
    put(f"{root}/strange/artefacts/gone-seed.iso")
    put(f"{root}/lab/files/gone-seed.iso")

    assert stale_artefacts(host, {"lab": state("web")}, scope=Scope()) == ()


def test_simulated_hosts_have_no_files(host: Host) -> None:
    put(f"{host.state.projects_dir}/lab/artefacts/gone-seed.iso")
    simulated = host.state.model_copy(update={"kind": HostKind.SIMULATED})
    rehearsing = Host(simulated, host.transport, host.libvirt)

    assert stale_artefacts(rehearsing, {"lab": state("web")}, scope=Scope()) == ()


def test_copy_of_a_disk_is_unused_when_no_state_and_no_layer_refers_to_it(
    host: Host,
) -> None:
    images = host.state.images_dir
    unused, layered = put(f"{images}/{OWN}"), put(f"{images}/{OTHER}")
    put(f"{images}/own-1111111111111111.raw", days=0.5)
    put(f"{images}/test_guest-5e5e5e5e5e5e5e5e.qcow2")
    header = b"QFI\xfb" + bytes(200) + f"{images}/{OTHER}".encode() + bytes(4000)
    put(f"{host.state.projects_dir}/lab/artefacts/a-disk.qcow2", content=header)

    assert unused_copies(host, [state("web")], scope=Scope()) == (unused,)

    named = with_image(state("web"), unused)
    assert unused_copies(host, [named], scope=Scope()) == ()
    Path(f"{host.state.projects_dir}/lab/artefacts/a-disk.qcow2").unlink()
    assert unused_copies(host, [named], scope=Scope()) == (layered,)


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="not installed: qemu-img")
def test_layer_made_by_qemu_keeps_its_base(host: Host) -> None:
    base = put(f"{host.state.images_dir}/{OWN}", content=bytes(1 << 20))
    folder = Path(host.state.projects_dir, "lab/artefacts")
    folder.mkdir(parents=True)
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base]
    host.transport.run(command(*words, str(folder / "a-disk.qcow2")), scope=Scope())

    assert unused_copies(host, [], scope=Scope()) == ()


def with_image(found: State, path: str) -> State:
    (guest,) = found.guests
    image = guest.image.model_copy(update={"path": path})
    guests = (guest.model_copy(update={"image": image}),)
    return found.model_copy(update={"guests": guests})
