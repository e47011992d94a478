"""A guest that did not come up: the lowest layer that failed is named, with evidence.

Everything around the guest is well but for what a test spoils. The layers between the
domain and SSH are in test_diagnosis_network.py.
"""

import re
from dataclasses import replace

import pytest

from orchestration.errors import Cancelled, HostUnreachable
from orchestration.hosts import Host
from orchestration.instructions.boot.diagnosis.diagnose import PROBES, diagnose
from orchestration.instructions.boot.diagnosis.evidence import Layer, Symptom
from orchestration.providers.libvirt import domains, problems
from orchestration.providers.libvirt.problems import DiskError
from orchestration.state.model import HostKind
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot import healthy_guest
from tests.orchestration.instructions.boot.diagnosis.sick_guest import SILENT, Patient

DF = re.compile(r"df -h .*")
QEMU_IMG = re.compile(r"qemu-img info .*")
INSIDE = re.compile(r"sh -c .*", re.DOTALL)


def test_layers_are_asked_from_the_bottom_up() -> None:
    layers = [layer for layer, _ in PROBES]

    assert layers == list(Layer)[: len(layers)]


def test_last_observation_is_the_answer_when_all_below_is_well(
    patient: Patient,
) -> None:
    found = patient.diagnosis()

    assert (found.layer, found.words) == (Layer.SSH, SILENT.words)
    assert "SSH server started" in found.hint
    assert found.evidence == "Linux version 6.1\nwelcome"


def test_domain_that_was_stopped_shows_the_log_of_qemu(patient: Patient) -> None:
    domains.destroy(patient.task.host.libvirt, patient.task.domain(patient.guest))
    ended = "terminating on signal 15 from pid 7"
    patient.spoil(healthy_guest.LOG, healthy_guest.qemu_log(patient.guest.uuid, ended))

    found = patient.diagnosis()

    assert found.layer is Layer.DOMAIN
    assert found.words == "its domain is shut off (destroyed)"
    assert "terminating on signal 15" in found.evidence
    assert "/var/log/libvirt/qemu/t7-a.log" in found.evidence


def test_log_of_another_domain_with_the_name_is_not_shown(patient: Patient) -> None:
    domains.destroy(patient.task.host.libvirt, patient.task.domain(patient.guest))
    ours = healthy_guest.qemu_log(patient.guest.uuid, "ours")
    theirs = healthy_guest.qemu_log("7e57bed0-0000-4000-8000-000000000001", "theirs")
    patient.spoil(healthy_guest.LOG, ours + theirs)

    found = patient.diagnosis()

    assert found.layer is Layer.DOMAIN
    assert "theirs" not in found.evidence
    assert "qemu" not in found.evidence


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
    monkeypatch.setattr(problems, "disk_errors", lambda *_: (failed,))
    patient.spoil(DF, "tmpfs 2.0M 2.0M 0 100% /srv/p\n")

    found = patient.diagnosis()

    assert (found.layer, found.words) == (Layer.DISK, words)
    assert "100% /srv/p" in found.evidence
    assert "qemu-system-x86_64: started" in found.evidence


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
    patient.spoil(healthy_guest.CONSOLE, said)

    found = patient.diagnosis()

    assert found.layer is Layer.BOOT
    assert words in found.words
    assert found.evidence.endswith(said.strip())


def test_guest_that_shows_no_sign_of_life_does_not_boot(patient: Patient) -> None:
    patient.spoil(healthy_guest.CONSOLE, "")
    patient.spoil(healthy_guest.DEVICE, healthy_guest.device("t7mgmt", packets=0))
    patient.spoil(QEMU_IMG, "virtual size: 64 MiB\n")

    found = patient.diagnosis()

    assert found.layer is Layer.BOOT
    assert "no system seems to boot from its disk" in found.words
    assert "virtual size: 64 MiB" in found.evidence
    assert "The console is empty" in found.evidence


def test_guest_with_a_silent_console_that_sends_packets_has_booted(
    patient: Patient,
) -> None:
    patient.spoil(healthy_guest.CONSOLE, "")

    assert patient.diagnosis().layer is Layer.SSH


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
        Symptom(Layer.FIRST_BOOT, "its first boot is not over"), inside
    )

    assert found.layer is Layer.FIRST_BOOT
    assert words in found.words
    assert said.strip() in found.evidence


def test_guest_that_cannot_be_asked_inside_says_why(patient: Patient) -> None:
    inside = FakeTransport("a", [(INSIDE, HostUnreachable("a was lost."))])

    found = patient.diagnosis(Symptom(Layer.FIRST_BOOT, "its first boot"), inside)

    assert "a was lost." in found.evidence


def test_layer_that_cannot_be_asked_about_is_passed_over_and_said(
    patient: Patient,
) -> None:
    patient.spoil(healthy_guest.OVS, Reply(stderr="no daemon", exit_code=1))
    patient.spoil(healthy_guest.NEIGHBOUR, healthy_guest.neighbour("", "FAILED"))

    found = patient.diagnosis()

    assert found.layer is Layer.ADDRESS
    assert "The port could not be asked about: Open vSwitch" in found.evidence


def test_dead_host_is_asked_only_once(patient: Patient) -> None:
    dead = HostUnreachable("host-a does not answer.")
    for asked in (
        healthy_guest.OVS,
        healthy_guest.DEVICE,
        healthy_guest.NEIGHBOUR,
        healthy_guest.CONSOLE,
    ):
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
    tail = FakeTransport("host-a", [(healthy_guest.CONSOLE, "")])
    host = replace(patient.task.host, transport=tail)

    found = diagnose(replace(patient.task, host=host), patient.guest, SILENT)

    assert found.words == SILENT.words
    assert tail.lines == [healthy_guest.CONSOLE]


def test_questions_run_as_root_and_carry_the_tag(patient: Patient) -> None:
    machine = FakeTransport("host-a", patient.script.items())
    real = patient.task.host.state.model_copy(update={"kind": HostKind.REAL})
    host = Host(real, machine, patient.task.host.libvirt)

    diagnose(replace(patient.task, host=host), patient.guest, SILENT)

    assert all(call.as_root for call in machine.calls)
    assert {scope.tag for scope in machine.scopes} == {patient.task.scope.tag}
