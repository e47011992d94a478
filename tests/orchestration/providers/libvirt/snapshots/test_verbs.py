"""Snapshots of a domain, against libvirt's own test driver."""

from collections.abc import Callable
from contextlib import suppress

import libvirt
import pytest

from orchestration.errors import ForeignThing, LibvirtFailed
from orchestration.providers.libvirt import domains, power
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import DomainStatus
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.snapshots import listing, verbs
from orchestration.providers.libvirt.snapshots.text import Label, Snapshot
from orchestration.providers.libvirt.snapshots.verbs import Record
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    build_guest,
    define_text,
    domain_in_lab,
    open_simulated,
)

WEB = domain_in_lab(build_guest())
ANN = Label("ann")
XML = build_domain(build_guest(), HOST, testbed="lab")


@pytest.fixture
def running(simulated: Connection) -> Connection:
    domains.define(simulated, WEB, XML)
    domains.start(simulated, WEB)
    return simulated


def take(conn: Connection, name: str) -> None:
    verbs.create(conn, WEB, name, "", ANN)


def tree(conn: Connection) -> dict[str, str]:
    """Return each snapshot's parent."""
    return {one.name: one.parent for one in found(conn)}


def found(conn: Connection) -> tuple[Snapshot, ...]:
    situation = verbs.look(conn, WEB)
    assert situation is not None
    return situation.snapshots


def by_hand(conn: Connection, name: str) -> None:
    """Take a snapshot as virsh does."""
    xml = f"<domainsnapshot><name>{name}</name></domainsnapshot>"
    conn.call(
        "take a snapshot",
        lambda handle: handle.lookupByName(WEB.name).snapshotCreateXML(xml),
        changes=True,
    )


def test_snapshots_form_a_tree_with_branches(running: Connection) -> None:
    take(running, "base")
    take(running, "one")
    verbs.restore(running, WEB, "base")
    take(running, "two")

    assert tree(running) == {"base": "", "one": "base", "two": "base"}
    assert [one.name for one in found(running) if one.is_current] == ["two"]
    assert {one.status for one in found(running)} == {"running"}


def test_snapshot_by_hand_is_in_the_tree_as_made_outside(running: Connection) -> None:
    take(running, "ours")
    by_hand(running, "theirs")

    assert [(one.name, one.is_outside) for one in found(running)] == [
        ("ours", False),
        ("theirs", True),
    ]


def test_restored_guest_is_as_it_was(running: Connection) -> None:
    take(running, "on")
    domains.destroy(running, WEB)
    take(running, "off")

    verbs.restore(running, WEB, "on")
    assert domains.find(running, WEB).status is DomainStatus.RUNNING
    verbs.restore(running, WEB, "off")
    assert domains.find(running, WEB).status is DomainStatus.SHUT_OFF


def test_paused_guest_is_restored_paused(running: Connection) -> None:
    power.pause(running, WEB)
    take(running, "still")
    power.resume(running, WEB)

    verbs.restore(running, WEB, "still")

    assert domains.find(running, WEB).status is DomainStatus.PAUSED


@pytest.mark.parametrize("act", [take, lambda conn, _: verbs.restore(conn, WEB, "old")])
def test_guest_that_libvirt_left_paused_runs_on(
    running: Connection,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Connection, str], None],
) -> None:
    take(running, "old")

    def fail(domain: libvirt.virDomain, *_: object) -> None:
        domain.suspend()
        raise libvirt.libvirtError("the disk is full")

    monkeypatch.setattr(libvirt.virDomain, "snapshotCreateXML", fail)
    monkeypatch.setattr(
        libvirt.virDomain, "revertToSnapshot", lambda domain, *_: domain.suspend()
    )
    monkeypatch.setattr(verbs, "_redefine", lambda *_, **__: None)
    with suppress(LibvirtFailed):
        act(running, "new")

    assert domains.find(running, WEB).status is DomainStatus.RUNNING


def test_children_go_with_their_parent_or_move_up(running: Connection) -> None:
    for name in ("a", "b", "c"):
        take(running, name)

    assert verbs.delete(running, WEB, "b") is True
    assert tree(running) == {"a": "", "c": "a"}
    assert verbs.delete(running, WEB, "b") is False
    assert verbs.delete(running, WEB, "a", children=True) is True
    assert tree(running) == {}


def test_other_title_changes_neither_tree_nor_current(running: Connection) -> None:
    for name in ("a", "b"):
        take(running, name)

    verbs.retitle(running, WEB, "a", "First")
    verbs.retitle(running, WEB, "b", "Second")

    assert tree(running) == {"a": "", "b": "a"}
    assert [(one.title, one.is_current) for one in found(running)] == [
        ("First", False),
        ("Second", True),
    ]


def test_records_survive_a_domain_that_is_defined_anew(running: Connection) -> None:
    for name in ("a", "b"):
        take(running, name)
    verbs.restore(running, WEB, "a")
    take(running, "c")
    before = {one.name: one for one in found(running)}
    record = verbs.record_of(running, WEB)
    domains.destroy(running, WEB)
    domains.undefine(running, WEB)
    domains.define(running, WEB, XML)
    assert found(running) == ()

    assert verbs.give_back(running, WEB, record) == ()
    assert verbs.give_back(running, WEB, record) == ()

    assert {one.name: one for one in found(running)} == before


def test_refused_record_is_named_and_the_others_are_given_back(
    running: Connection,
) -> None:
    take(running, "a")
    record = verbs.record_of(running, WEB)
    verbs.delete(running, WEB, "a")
    other = record.texts[0].replace("<name>a</name>", "<name>b</name>", 1)
    broken = other.replace(WEB.uuid, "7e57bed0-0000-4000-8000-ffffffffffff")

    refused = verbs.give_back(running, WEB, Record((broken, *record.texts), "a"))

    assert [one.partition(":")[0] for one in refused] == ["b"]
    assert tree(running) == {"a": ""}


def test_records_go_with_their_disk(running: Connection) -> None:
    take(running, "a")

    assert verbs.forget(running, WEB) == 1
    assert found(running) == ()


def test_situation_names_what_keeps_snapshots_away(running: Connection) -> None:
    assert verbs.look(running, GuestDomain("lab", "no", "no")) is None
    situation = verbs.look(running, WEB)

    assert situation.disks == (("/lab/web-0.qcow2", "qcow2"),)
    assert (situation.foreign, situation.has_pflash) == ((), False)


def test_domain_of_another_testbed_is_refused(running: Connection) -> None:
    other = GuestDomain("other", WEB.guest, WEB.name, WEB.uuid)

    for verb in (verbs.look, verbs.record_of, verbs.forget):
        with pytest.raises(ForeignThing):
            verb(running, other)
    with pytest.raises(ForeignThing):
        verbs.create(running, other, "a", "", ANN)
    with pytest.raises(ForeignThing):
        verbs.restore(running, other, "a")
    with pytest.raises(ForeignThing):
        verbs.delete(running, other, "a")


def test_listing_has_marked_domains_with_snapshots_alone(running: Connection) -> None:
    assert listing.observe(running, {}) == ()
    take(running, "a")
    define_text(
        running,
        "<domain type='test'><name>x</name><memory>8192</memory>"
        "<os><type>hvm</type></os></domain>",
    )
    xml = "<domainsnapshot><name>theirs</name></domainsnapshot>"
    running.call(
        "take one", lambda handle: handle.lookupByName("x").snapshotCreateXML(xml)
    )

    (seen,) = listing.observe(running, {})

    assert seen.owner == ("lab", "web-0")
    assert [one.name for one in seen.snapshots] == ["a"]


def test_listing_reads_no_text_of_what_is_known(running: Connection) -> None:
    take(running, "a")
    (seen,) = listing.observe(running, {})
    known = {seen.owner: seen.signature}

    (again,) = listing.observe(running, known)
    take(running, "b")
    (changed,) = listing.observe(running, known)

    assert again.snapshots is None
    assert [one.name for one in changed.snapshots] == ["a", "b"]


def test_simulated_host_keeps_its_snapshots_for_other_processes(
    running: Connection, tmp_path
) -> None:
    take(running, "a")
    take(running, "b")
    verbs.restore(running, WEB, "a")

    other = open_simulated(tmp_path)

    assert tree(other) == {"a": "", "b": "a"}
    assert [one.name for one in found(other) if one.is_current] == ["a"]
    other.close()


def test_guest_that_was_paused_for_its_snapshot_runs_after_a_restore(
    running: Connection,
) -> None:
    power.pause(running, WEB)
    take(running, "base")
    assert [one.status for one in found(running)] == ["paused"]

    verbs.note_running(running, WEB, "base")
    assert verbs.resume(running, WEB)
    assert not verbs.resume(running, WEB)
    verbs.restore(running, WEB, "base")

    assert [one.status for one in found(running)] == ["running"]
    assert found(running)[0].is_current
    assert domains.find(running, WEB).status is DomainStatus.RUNNING


def test_restore_may_leave_a_guest_paused(running: Connection) -> None:
    take(running, "base")

    verbs.restore(running, WEB, "base", paused=True)

    assert domains.find(running, WEB).status is DomainStatus.PAUSED
