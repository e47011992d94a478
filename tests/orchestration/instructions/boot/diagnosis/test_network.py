"""A guest that cannot be reached: what is wrong on the way from its host to its card.

Bridges, ports, cables, leases and addresses, each spoilt alone. What is beside the way
is only remarked. The other layers are in test_diagnosis.py.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.hosts import Host, Hosts
from orchestration.instructions.boot.diagnosis.evidence import Evidence, Layer, Symptom
from orchestration.instructions.boot.diagnosis.network import address
from orchestration.providers.libvirt import networks, problems
from orchestration.state.model import HostState
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot import healthy_guest
from tests.orchestration.instructions.boot.diagnosis.sick_guest import SILENT, Patient

LINK = re.compile(r"ip link show dev .*")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("", "is missing: the host has no device t7g0im"),
        (healthy_guest.device(""), "(t7g0im) is not on bridge t7mgmt: it is on none"),
        (healthy_guest.device("br9"), "(t7g0im) is not on bridge t7mgmt: it is on br9"),
    ],
)
def test_management_interface_off_its_bridge(
    patient: Patient, said: str, words: str
) -> None:
    patient.spoil(healthy_guest.DEVICE, said or Reply(exit_code=1))

    found = patient.diagnosis()

    assert found.layer is Layer.PORT
    assert found.words == f"its management interface mgmt0 {words}"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (healthy_guest.table() * 3, "(t7g0i0) has no bridge: t7-br0 does not exist"),
        (
            healthy_guest.table({"name": "t7-br0", "ports": ["set", []]})
            + healthy_guest.table() * 2,
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
    text = (
        said if isinstance(said, str) else healthy_guest.switch(patient.guest, **said)
    )
    patient.spoil(healthy_guest.OVS, text)

    found = patient.diagnosis()

    assert found.layer is Layer.PORT
    assert found.words.startswith("its interface eth0 ")
    assert found.words.endswith(words)


def test_broken_port_beside_the_way_is_only_remarked(patient: Patient) -> None:
    bridge = healthy_guest.table({"name": "t7-br0", "ports": ["set", []]})
    patient.spoil(healthy_guest.OVS, bridge + healthy_guest.table() * 2)

    found = patient.diagnosis()

    assert found.layer is Layer.SSH
    assert "Interface eth0 (t7g0i0) is not a port of bridge t7-br0." in found.evidence


def test_unplugged_cable(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert patient.guest.management is not None
    unplugged = frozenset({patient.guest.management.mac})
    monkeypatch.setattr(problems, "links_down", lambda *_: unplugged)
    patient.spoil(LINK, "t7g0im: <NO-CARRIER>\n")

    found = patient.diagnosis()

    assert found.layer is Layer.LINK
    assert "mgmt0 has no link: t7g0im is unplugged" in found.words
    assert "virsh domif-setlink t7-a t7g0im up" in found.hint
    assert "NO-CARRIER" in found.evidence


def test_device_that_is_switched_off(patient: Patient) -> None:
    patient.spoil(
        healthy_guest.DEVICE, healthy_guest.device("t7mgmt", flags=("BROADCAST",))
    )
    patient.spoil(LINK, "t7g0im: state DOWN\n")

    found = patient.diagnosis()

    assert found.layer is Layer.LINK
    assert "t7g0im is switched off on the host" in found.words


def test_guest_without_a_lease(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient.without_management()
    others = {"52:54:00:00:00:01": "10.64.112.99"}
    monkeypatch.setattr(networks, "leases", lambda *_, **__: others)

    found = patient.diagnosis()

    assert found.layer is Layer.LEASE
    assert "its interface eth0 got no address: DHCP gave 52:54:2b" in found.words
    assert "leases: 52:54:00:00:00:01 10.64.112.99" in found.evidence


def test_lease_beside_the_way_is_only_remarked(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "leases", lambda *_, **__: {})

    found = patient.diagnosis()

    assert found.layer is Layer.SSH
    assert "Interface eth0 got no DHCP lease." in found.evidence


@pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE"])
def test_address_for_which_nobody_answers(patient: Patient, state: str) -> None:
    patient.spoil(healthy_guest.NEIGHBOUR, healthy_guest.neighbour("", state))

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert found.words == "no machine answers ARP for its address 100.64.112.16"
    assert state in found.evidence


def test_address_for_which_another_machine_answers(patient: Patient) -> None:
    patient.spoil(
        healthy_guest.NEIGHBOUR, healthy_guest.neighbour("52:54:00:00:00:07", "STALE")
    )

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert "another machine (52:54:00:00:00:07) answers" in found.words


@pytest.mark.parametrize("layer", [Layer.HOST_KEY, Layer.LOGIN])
def test_no_question_about_the_way_follows_an_answer_of_ssh(
    patient: Patient, layer: Layer
) -> None:
    patient.spoil(healthy_guest.NEIGHBOUR, healthy_guest.neighbour("", "FAILED"))
    symptom = Symptom(layer, "it is so", "expected SHA256:a\nseen SHA256:b")

    found = patient.diagnosis(symptom)

    assert (found.layer, found.words) == (layer, "it is so")
    assert "seen SHA256:b" in found.evidence


class OnlyMain(Hosts):
    """Hosts of which every one is main, with canned answers."""

    machine: FakeTransport

    def open(self, state: HostState) -> Host:
        assert state.is_main
        return Host(state, self.machine, super().open(state).libvirt)


def test_neighbours_of_an_unmanaged_guest_are_asked_where_the_way_begins(
    patient: Patient, tmp_path: Path
) -> None:
    patient.without_management()
    guest = patient.guest.model_copy(update={"host": "host-b"})
    there = patient.task.hosts.open(patient.task.state.host("host-b"))
    hosts = OnlyMain(tmp_path)
    said = healthy_guest.neighbour("", "FAILED")
    hosts.machine = FakeTransport("host-a", [(healthy_guest.NEIGHBOUR, said)])
    nothing = Host(there.state, FakeTransport("host-b"), there.libvirt)
    task = replace(patient.task, hosts=hosts, host=nothing)

    found = address(Evidence(task, guest, SILENT))

    assert found is not None
    assert found.words.startswith("no machine answers ARP for its address 10.")
    hosts.close()
