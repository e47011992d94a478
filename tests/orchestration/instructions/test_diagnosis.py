"""A guest that did not come up: the lowest layer that failed is named, with evidence.

Everything around the guest is well but for what a test spoils.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from orchestration.errors import Cancelled, HostUnreachable
from orchestration.hosts import Host
from orchestration.instructions.base import Task
from orchestration.instructions.diagnosis import PROBES, diagnose
from orchestration.instructions.layers.look import Diagnosis, Layer, Seen
from orchestration.providers.libvirt import domains, networks, trouble
from orchestration.providers.libvirt.trouble import DiskError
from orchestration.state.model import GuestState, HostKind
from tests.fakes import Answer, Expected, FakeTransport, Reply
from tests.orchestration.instructions import well
from tests.orchestration.instructions.rehearsal import Rehearsal

SILENT = Seen(Layer.SSH, "100.64.112.16:22 does not answer: no answer in time")
DF = re.compile(r"df -h .*")
LINK = re.compile(r"ip link show dev .*")
QEMU_IMG = re.compile(r"qemu-img info .*")
INSIDE = re.compile(r"sh -c .*", re.DOTALL)


@dataclass
class Patient:
    """Guest `a` on a host that answers as `script` says."""

    task: Task
    guest: GuestState
    script: well.Script

    def spoil(self, asked: Expected, answer: Answer) -> None:
        self.script[asked] = answer

    def diagnosis(
        self, seen: Seen = SILENT, inside: FakeTransport | None = None
    ) -> Diagnosis:
        machine = FakeTransport("host-a", self.script.items())
        real = self.task.host.state.model_copy(update={"kind": HostKind.REAL})
        host = Host(real, machine, self.task.host.libvirt)
        return diagnose(replace(self.task, host=host), self.guest, seen, inside)

    def without_management(self) -> None:
        self.guest = self.guest.model_copy(update={"management": None})


@pytest.fixture
def patient(rehearsal: Rehearsal, make_task: Callable[..., Task]) -> Patient:
    rehearsal.up()
    task = make_task("a")
    guest = task.state.guest("a").model_copy(update={"console": "/console"})
    management = task.state.network.management[0]
    return Patient(task, guest, well.answers(guest, management))


def test_layers_are_asked_from_the_bottom_up() -> None:
    layers = [layer for layer, _ in PROBES]

    assert layers == list(Layer)[: len(layers)]


def test_what_was_seen_last_is_the_answer_when_all_below_is_well(
    patient: Patient,
) -> None:
    found = patient.diagnosis()

    assert (found.layer, found.words) == (Layer.SSH, SILENT.words)
    assert "SSH server started" in found.hint
    assert found.evidence == "Linux version 6.1\nwelcome"


def test_domain_that_was_stopped_shows_the_log_of_qemu(patient: Patient) -> None:
    domains.destroy(patient.task.host.libvirt, patient.guest.domain)
    patient.spoil(well.LOG, "terminating on signal 15 from pid 7\n")

    found = patient.diagnosis()

    assert found.layer is Layer.DOMAIN
    assert found.words == "its domain is shut off (destroyed)"
    assert "terminating on signal 15" in found.evidence
    assert "/var/log/libvirt/qemu/demo-a.log" in found.evidence


@pytest.mark.parametrize(
    ("is_full", "words"),
    [
        (True, "its disk vda stopped: no space is left for /srv/p/a-disk.qcow2"),
        (False, "its disk vda failed: /srv/p/a-disk.qcow2 gives I/O errors"),
    ],
)
def test_disk_that_stopped_the_domain_is_named_with_its_file_system(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, is_full: bool, words: str
) -> None:
    name = patient.guest.domain
    patient.task.host.libvirt.call(
        "suspend", lambda handle: handle.lookupByName(name).suspend(), changes=True
    )
    failed = DiskError("vda", "/srv/p/a-disk.qcow2", is_full=is_full)
    monkeypatch.setattr(trouble, "disk_errors", lambda *_: (failed,))
    patient.spoil(DF, "tmpfs 2.0M 2.0M 0 100% /srv/p\n")

    found = patient.diagnosis()

    assert (found.layer, found.words) == (Layer.DISK, words)
    assert "100% /srv/p" in found.evidence
    assert "qemu-system-x86_64: started" in found.evidence


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "is not there: the host has no device t7g0im"),
        (well.device(""), "(t7g0im) is not on bridge t7mgmt: it is on none"),
        (well.device("br9"), "(t7g0im) is not on bridge t7mgmt: it is on br9"),
    ],
)
def test_management_interface_off_its_bridge(
    patient: Patient, said: str, words: str
) -> None:
    patient.spoil(well.DEVICE, said or Reply(exit_code=1))

    found = patient.diagnosis()

    assert found.layer is Layer.PORT
    assert found.words == f"its management interface mgmt0 {words}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (well.table() * 3, "(t7g0i0) has no bridge: t7-br0 does not exist"),
        (
            well.table({"name": "t7-br0", "ports": ["set", []]}) + well.table() * 2,
            "(t7g0i0) is not a port of bridge t7-br0",
        ),
        ({"port": "p2"}, "(t7g0i0) is a port of another bridge, not of t7-br0"),
        ({"error": "no such device"}, "does not work in the switch: no such device"),
    ],
    ids=["no bridge", "no port", "elsewhere", "broken"],
)
def test_port_that_is_not_on_its_bridge(
    patient: Patient, said: str | dict[str, object], words: str
) -> None:
    patient.without_management()
    text = said if isinstance(said, str) else well.switch(patient.guest, **said)
    patient.spoil(well.OVS, text)

    found = patient.diagnosis()

    assert found.layer is Layer.PORT
    assert found.words.startswith("its interface eth0 ")
    assert found.words.endswith(words)


def test_broken_port_beside_the_way_is_only_remarked(patient: Patient) -> None:
    bridge = well.table({"name": "t7-br0", "ports": ["set", []]})
    patient.spoil(well.OVS, bridge + well.table() * 2)

    found = patient.diagnosis()

    assert found.layer is Layer.SSH
    assert "Interface eth0 (t7g0i0) is not a port of bridge t7-br0." in found.evidence


def test_unplugged_cable(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert patient.guest.management is not None
    unplugged = frozenset({patient.guest.management.mac})
    monkeypatch.setattr(trouble, "links_down", lambda *_: unplugged)
    patient.spoil(LINK, "t7g0im: <NO-CARRIER>\n")

    found = patient.diagnosis()

    assert found.layer is Layer.LINK
    assert "mgmt0 has no link: t7g0im is unplugged" in found.words
    assert "virsh domif-setlink demo-a t7g0im up" in found.hint
    assert "NO-CARRIER" in found.evidence


def test_device_that_is_switched_off(patient: Patient) -> None:
    patient.spoil(well.DEVICE, well.device("t7mgmt", flags=("BROADCAST",)))
    patient.spoil(LINK, "t7g0im: state DOWN\n")

    found = patient.diagnosis()

    assert found.layer is Layer.LINK
    assert "t7g0im is switched off on the host" in found.words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[1.2] Kernel panic - not syncing: VFS\n", "its kernel panicked"),
        ("SeaBIOS\nNo bootable device.\n", "its disk has nothing that boots"),
        ("grub rescue>\n", "its boot loader finds no system"),
        ("(initramfs) \n", "its kernel finds no root file system"),
        ("You are in emergency mode. After\n", "started in emergency mode"),
    ],
)
def test_console_tells_that_the_boot_failed(
    patient: Patient, said: str, words: str
) -> None:
    patient.spoil(well.CONSOLE, said)

    found = patient.diagnosis()

    assert found.layer is Layer.BOOT
    assert words in found.words
    assert found.evidence.endswith(said.strip())


def test_guest_that_shows_no_sign_of_life_does_not_boot(patient: Patient) -> None:
    patient.spoil(well.CONSOLE, "")
    patient.spoil(well.DEVICE, well.device("t7mgmt", packets=0))
    patient.spoil(QEMU_IMG, "virtual size: 64 MiB\n")

    found = patient.diagnosis()

    assert found.layer is Layer.BOOT
    assert "no system seems to boot from its disk" in found.words
    assert "virtual size: 64 MiB" in found.evidence
    assert "The console is empty" in found.evidence


def test_guest_with_a_silent_console_that_sends_packets_has_booted(
    patient: Patient,
) -> None:
    patient.spoil(well.CONSOLE, "")

    assert patient.diagnosis().layer is Layer.SSH


def test_guest_without_a_lease(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.without_management()
    others = {"52:54:00:00:00:01": "10.64.112.99"}
    monkeypatch.setattr(networks, "leases", lambda *_: others)

    found = patient.diagnosis()

    assert found.layer is Layer.LEASE
    assert "its interface eth0 got no address: DHCP gave 52:54:2b" in found.words
    assert "leases: 52:54:00:00:00:01 10.64.112.99" in found.evidence


def test_lease_beside_the_way_is_only_remarked(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "leases", lambda *_: {})

    found = patient.diagnosis()

    assert found.layer is Layer.SSH
    assert "Interface eth0 got no DHCP lease." in found.evidence


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE"])
def test_address_for_which_nobody_answers(patient: Patient, state: str) -> None:
    patient.spoil(well.NEIGHBOUR, well.neighbour("", state))

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert found.words == "nobody answers ARP for its address 100.64.112.16"
    assert state in found.evidence


def test_address_for_which_another_machine_answers(patient: Patient) -> None:
    patient.spoil(well.NEIGHBOUR, well.neighbour("52:54:00:00:00:07", "STALE"))

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert "another machine (52:54:00:00:00:07) answers" in found.words


@pytest.mark.parametrize("layer", [Layer.HOST_KEY, Layer.LOGIN])
def test_who_was_answered_by_ssh_does_not_ask_about_the_way(
    patient: Patient, layer: Layer
) -> None:
    patient.spoil(well.NEIGHBOUR, well.neighbour("", "FAILED"))
    seen = Seen(layer, "it is so", "expected SHA256:a\nseen SHA256:b")

    found = patient.diagnosis(seen)

    assert (found.layer, found.words) == (layer, "it is so")
    assert "seen SHA256:b" in found.evidence


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "status: error\ndetail:\n('scripts-user', failed)\n",
            "cloud-init failed in its first boot",
        ),
        ("status: running\n", "its first boot is not over: cloud-init is still"),
        ("status: done\n", "cloud-init ended in it without running our last command"),
        ("status: disabled\n", "cloud-init is switched off in its image"),
        ("ssh.service failed\n", "its first boot is not over"),
    ],
)
def test_first_boot_is_asked_inside(patient: Patient, said: str, words: str) -> None:
    inside = FakeTransport("a", [(INSIDE, said)])

    found = patient.diagnosis(
        Seen(Layer.FIRST_BOOT, "its first boot is not over"), inside
    )

    assert found.layer is Layer.FIRST_BOOT
    assert words in found.words
    assert said.strip() in found.evidence


def test_guest_that_cannot_be_asked_inside_says_why(patient: Patient) -> None:
    inside = FakeTransport("a", [(INSIDE, HostUnreachable("a was lost."))])

    found = patient.diagnosis(Seen(Layer.FIRST_BOOT, "its first boot"), inside)

    assert "a was lost." in found.evidence


def test_layer_that_cannot_be_asked_about_is_passed_over_and_said(
    patient: Patient,
) -> None:
    patient.spoil(well.OVS, Reply(stderr="no daemon", exit_code=1))
    patient.spoil(well.NEIGHBOUR, well.neighbour("", "FAILED"))

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert "The port could not be asked about: Open vSwitch" in found.evidence


def test_dead_host_is_asked_only_once(patient: Patient) -> None:
    dead = HostUnreachable("host-a does not answer.")
    for asked in (well.OVS, well.DEVICE, well.NEIGHBOUR, well.CONSOLE):
        patient.spoil(asked, dead)

    found = patient.diagnosis()

    assert found.words == SILENT.words
    assert found.evidence == (
        "host-a does not answer.\nThe console cannot be read: host-a does not answer."
    )


def test_cancel_ends_the_diagnosis(patient: Patient) -> None:
    patient.task.scope.cancel()

    with pytest.raises(Cancelled):
        patient.diagnosis()


def test_rehearsal_has_no_layers(patient: Patient) -> None:
    tail = FakeTransport("host-a", [(well.CONSOLE, "")])
    host = replace(patient.task.host, transport=tail)

    found = diagnose(replace(patient.task, host=host), patient.guest, SILENT)

    assert found.words == SILENT.words
    assert tail.lines == [well.CONSOLE]


def test_what_is_asked_runs_as_root_and_carries_the_tag(patient: Patient) -> None:
    machine = FakeTransport("host-a", patient.script.items())
    real = patient.task.host.state.model_copy(update={"kind": HostKind.REAL})
    host = Host(real, machine, patient.task.host.libvirt)

    diagnose(replace(patient.task, host=host), patient.guest, SILENT)

    assert all(call.as_root for call in machine.calls)
    assert {scope.tag for scope in machine.scopes} == {patient.task.scope.tag}
