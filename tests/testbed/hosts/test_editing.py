"""Editing a host loses nothing of another admin; removing one nothing of a testbed."""

import pytest
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command
from testbed.models import Entry, Host, Inventory, ObservedGuest, Testbed
from testbed.testbeds.capacity import needs_in, set_started
from tests.testbed.conftest import MakeRun
from tests.testbed.hosts.test_contact import LINE

TYPED = {
    "address": "192.0.2.2",
    "port": "22",
    "user": "root",
    "identity_file": "/etc/testbed/host-key",
    "host_key": f"{LINE} root@host-b",
    "tunnel_address": "192.0.2.2",
    "projects_dir": "/var/lib/testbed/projects",
    "images_dir": "/var/lib/testbed/images",
    "domain_type": "qemu",
    "datapath": "system",
    "has_firewall": "on",
    "vcpu_overcommit": "",
    "memory_overcommit": "",
}
EDIT, REMOVE = "/hosts/host-b/edit/", "/hosts/host-b/remove/"


@pytest.fixture
def other(hosts: tuple[Host, Host], doors: object) -> Host:
    """A host over SSH; its row is real, nothing speaks to it."""
    Host.objects.filter(name="host-b").update(
        kind="real", identity_file="/etc/testbed/host-key", host_key=LINE
    )
    hosts[1].refresh_from_db()
    return hosts[1]


def text(answer: object) -> str:
    return answer.content.decode()


def entries() -> list[str]:
    return list(Entry.objects.filter(act="hosts").values_list("what", flat=True))


def test_edit_is_saved_and_names_the_fields_in_the_record(
    page: Client, other: Host
) -> None:
    assert 'value="192.0.2.2"' in text(page.get(EDIT))

    answer = page.post(EDIT, TYPED | {"seen": "0", "port": "2222"})

    other.refresh_from_db()
    assert answer.status_code == 302
    assert (other.port, other.version, other.host_key) == (2222, 1, LINE)
    assert entries() == ["changed port"]


def test_second_admin_is_told_what_changed_and_keeps_what_was_typed(
    page: Client, other: Host
) -> None:
    page.post(EDIT, TYPED | {"seen": "0", "address": "192.0.2.8"})

    late = page.post(EDIT, TYPED | {"seen": "0", "vcpu_overcommit": "3"})

    other.refresh_from_db()
    shown = text(late)
    assert late.status_code == 409
    assert "Another lab admin changed host-b" in shown
    assert "Address: saved is" in shown
    assert "192.0.2.8" in shown
    assert 'name="vcpu_overcommit" value="3' in shown
    assert 'name="seen" value="1"' in shown
    assert (other.address, other.vcpu_overcommit) == ("192.0.2.8", None)

    again = page.post(
        EDIT, TYPED | {"seen": "1", "address": "192.0.2.8", "vcpu_overcommit": "3"}
    )
    other.refresh_from_db()
    assert again.status_code == 302
    assert (other.address, other.vcpu_overcommit) == ("192.0.2.8", 3.0)


def test_empty_tunnel_address_is_no_change_and_no_conflict(
    page: Client, other: Host
) -> None:
    Host.objects.filter(pk=other.pk).update(tunnel_address=None)
    typed = TYPED | {"seen": "0", "tunnel_address": ""}

    page.post(EDIT, typed | {"port": "2222"})
    late = page.post(EDIT, typed | {"compress_copies": "on", "has_firewall": ""})

    shown = " ".join(text(late).split())
    assert entries() == ["changed port"]
    assert late.status_code == 409
    assert "Tunnel address: saved is" not in shown
    saved, yours = "not ticked", "ticked"
    assert (
        f'Compress images on their way to it: saved is <code class="path">{saved}'
        f'</code>, yours is <code class="path">{yours}</code>' in shown
    )


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.3", "host-c has this address and port."),
        ("192.0.2.1", "main has this address and port."),
        ("localhost", "This address is main itself."),
    ],
)
def test_place_of_another_host_is_refused(
    page: Client, other: Host, address: str, words: str
) -> None:
    Host.objects.create(name="host-c", address="192.0.2.3")
    Host.objects.filter(is_main=True).update(address="192.0.2.1")

    answer = page.post(EDIT, TYPED | {"seen": "0", "address": address})

    assert answer.status_code == 422
    assert words in text(answer)
    assert Host.objects.get(name="host-b").address == "192.0.2.2"


def test_observation_in_between_is_no_edit(page: Client, other: Host) -> None:
    Host.objects.filter(pk=other.pk).update(load=2.5, cpus=4)

    answer = page.post(EDIT, TYPED | {"seen": "0", "port": "2222"})

    other.refresh_from_db()
    assert answer.status_code == 302
    assert (other.load, other.port) == (2.5, 2222)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "$(id)"),
        ("address", ""),
        ("user", "-oProxyCommand=id"),
        ("port", "0"),
        ("host_key", "ssh-ed25519 !"),
        ("host_key", ""),
        ("vcpu_overcommit", "0"),
        ("vcpu_overcommit", "nan"),
        ("seen", "-1"),
    ],
)
def test_odd_edit_is_refused_and_changes_nothing(
    page: Client, other: Host, field: str, value: str
) -> None:
    answer = page.post(EDIT, TYPED | {"seen": "0"} | {field: value})

    assert answer.status_code == 422
    assert "Nothing was saved" in text(answer)
    assert Host.objects.get(pk=other.pk).version == 0


def test_unused_host_is_removed_after_a_question(page: Client, other: Host) -> None:
    assert "Remove host-b?" in text(page.get(REMOVE))
    assert Host.objects.filter(name="host-b").exists()

    assert page.post(REMOVE).status_code == 302

    assert not Host.objects.filter(name="host-b").exists()
    assert entries() == ["removed it"]


def test_host_with_a_guest_stays_and_names_it_with_its_owner(
    page: Client, other: Host, testbed: Testbed
) -> None:
    ObservedGuest.objects.create(
        testbed=testbed,
        name="db",
        host="host-b",
        status="running",
        observed_at=timezone.now(),
    )

    asked, answer = page.get(REMOVE), page.post(REMOVE)

    assert "guest db of olive/lab" in text(asked)
    assert answer.status_code == 422
    assert "host-b is in use: guest db of olive/lab" in text(answer)
    assert Host.objects.filter(name="host-b").exists()


def test_host_stays_while_a_testbed_that_is_up_counts_there(
    page: Client, generated: Testbed, other: Host
) -> None:
    Testbed.objects.filter(pk=generated.pk).update(condition="up")
    generated.refresh_from_db()
    set_started(generated, needs_in(generated.project.read_state()))

    assert "olive/lab is up with 1 guest" in text(page.post(REMOVE))
    assert Host.objects.filter(name="host-b").exists()


def test_host_stays_while_an_up_is_about_to_use_it(
    page: Client, hosts: tuple[Host, Host], make_run: MakeRun
) -> None:
    run = make_run(Command.UP)

    assert f"run {run.pk} of olive/lab" in text(page.post(REMOVE))


def test_host_with_kept_disks_stays(page: Client, other: Host) -> None:
    folder = {"kind": "folder", "name": "lab", "testbed": "lab"}
    Inventory.objects.create(host=other, things=[folder], looked_at="2026-11-28T07:00Z")

    assert "1 thing of lab" in text(page.post(REMOVE))


def test_testbed_of_kept_disks_has_the_name_that_users_know(
    page: Client, other: Host, testbed: Testbed
) -> None:
    folder = {"kind": "folder", "name": "x", "testbed": testbed.key}
    Inventory.objects.create(host=other, things=[folder], looked_at="2026-11-28T07:00Z")

    assert "1 thing of olive/lab" in text(page.post(REMOVE))


def test_main_stays_while_there_are_others(page: Client, other: Host) -> None:
    assert "Remove the others first" in text(page.post("/hosts/main/remove/"))
