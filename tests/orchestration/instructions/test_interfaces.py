"""Interfaces that change while their guest runs: what is asked, and what is known."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.events import Status
from orchestration.plan.model import Command, Kind
from orchestration.providers.libvirt import devices, domains
from orchestration.state.model import HostState
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import machine, spec_of


def spec(*cards: str | dict[str, str], **image: object) -> Spec:
    """A guest to change and one to leave alone, on main."""
    return spec_of(
        machine("web", *cards, **image),
        machine("db", "br0"),
        bridges=("br0", "alone"),
    )


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path, spec("br0"))
    assert not rehearsal.up().failed()
    yield rehearsal
    rehearsal.hosts.close()


def running(rehearsal: Rehearsal) -> dict[str, str]:
    """The digest of the settings with which each guest on main runs."""
    host = rehearsal.hosts.open(rehearsal.inventory[0])
    found = domains.observe(host.libvirt)
    return {d.guest: d.spec_hash for d in found if d.is_active}


def wanted(rehearsal: Rehearsal) -> dict[str, str]:
    return {guest.name: guest.spec_hash for guest in rehearsal.state.guests}


def test_guest_is_changed_and_not_stopped(edited: Rehearsal) -> None:
    before = running(edited)
    edited.edit(spec("alone", "br0"))

    outcomes = edited.up()

    assert not outcomes.failed()
    assert outcomes.of(Kind.CHANGE_INTERFACES).keys() == {"web"}
    assert Kind.STOP_CHANGED_GUESTS not in outcomes.kinds
    assert {r.status for r in outcomes.of(Kind.START_GUESTS).values()} == {
        Status.UNCHANGED
    }
    assert running(edited) == wanted(edited) != before
    assert not edited.project.has_unfinished_change()
    again = edited.up()
    assert Kind.CHANGE_INTERFACES not in again.kinds
    assert not again.failed()


def test_new_bridges_and_artefacts_are_there_before_guests_change(
    edited: Rehearsal,
) -> None:
    edited.edit(spec("alone", "br0"))

    kinds = [i.kind for i in edited.plan(Command.UP).instructions]

    change = kinds.index(Kind.CHANGE_INTERFACES)
    assert kinds.index(Kind.ENSURE_LINKS) < change
    assert kinds.index(Kind.CREATE_DISKS) < change < kinds.index(Kind.START_GUESTS)
    assert kinds.index(Kind.FORGET_REMOVED) == change + 1


def test_network_inside_the_guest_is_changed_as_root(edited: Rehearsal) -> None:
    edited.edit(spec({"bridge": "alone", "ip": "10.9.0.2"}, "br0"))

    edited.up()

    web = edited.state.guest("web")
    (asked,) = (line for line in edited.asked(web.domain) if line.startswith("sh -s"))
    assert asked.endswith(
        f"eth0 {web.interfaces[0].mac} 1450 10.9.0.2/24 - - "
        f"10.64.112.16/20 10.64.112.1 "
        f"eth1 {web.interfaces[1].mac} 1450 {web.interfaces[1].address}/20 "
        "10.64.112.1 10.64.112.1 - -"
    )


def test_change_that_fails_in_the_guest_is_gone_on_with(edited: Rehearsal) -> None:
    edited.edit(spec("alone"))
    domain = edited.state.guest("web").domain
    edited.break_(domain, {"sh -s": {"exit_code": 4, "stderr": "eth0 has not got"}})

    failed = edited.up()

    result = failed.of(Kind.CHANGE_INTERFACES)["web"]
    assert result.status is Status.FAILED
    assert "network inside guest web on host-a" in result.message
    assert "eth0 has not got" in result.detail
    assert running(edited)["web"] == ""
    assert edited.project.has_unfinished_change()

    edited.break_(domain, {})
    outcomes = edited.up()

    assert outcomes.of(Kind.CHANGE_INTERFACES)["web"].status is Status.DONE
    assert Kind.STOP_CHANGED_GUESTS not in outcomes.kinds
    assert running(edited) == wanted(edited)
    assert not edited.project.has_unfinished_change()


def test_guest_that_does_not_let_go_runs_on_and_it_is_said_what_to_do(
    edited: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = devices.interface(edited.state.guest("web").interfaces[0].mac)
    there = frozenset({old, devices.disk("vda"), devices.disk("vdb")})
    monkeypatch.setattr(HostState, "plugs_devices", True)
    monkeypatch.setattr(devices, "plugged", lambda *_: there)
    monkeypatch.setattr(devices, "unplug", lambda *_, **__: False)
    edited.edit(spec())

    outcomes = edited.up()

    result = outcomes.of(Kind.CHANGE_INTERFACES)["web"]
    assert result.status is Status.FAILED
    assert "Guest web on host-a did not let go of its seed" in result.message
    assert "it runs on" in result.message
    assert "Shut the guest down and start up again" in result.hint
    assert running(edited)["web"] == ""
    assert edited.project.has_unfinished_change()


def test_devices_that_go_make_room_for_those_that_come(
    edited: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited.edit(spec("br0", "br0"))
    web = edited.state.guest("web")
    first, second = (devices.interface(i.mac) for i in web.interfaces)
    seed, management = devices.disk("vdb"), devices.interface(web.management.mac)
    strange = devices.interface("52:54:00:00:00:99")
    asked: list[tuple[str, devices.Device]] = []
    there = frozenset({first, strange, seed, management})
    monkeypatch.setattr(HostState, "plugs_devices", True)
    monkeypatch.setattr(devices, "plugged", lambda *_: there)
    monkeypatch.setattr(
        devices, "unplug", lambda _c, _n, d, **__: not asked.append(("-", d))
    )
    monkeypatch.setattr(devices, "device_text", lambda _text, device: device)
    monkeypatch.setattr(devices, "plug", lambda _c, _n, d: asked.append(("+", d)))
    monkeypatch.setattr(devices, "set_link", lambda *_, **__: None)

    outcomes = edited.up()

    assert outcomes.of(Kind.CHANGE_INTERFACES)["web"].status is Status.DONE
    assert asked == [("-", seed), ("-", strange), ("+", second), ("+", seed)]


def test_guest_that_is_off_gets_its_interfaces_at_its_start(edited: Rehearsal) -> None:
    host = edited.hosts.open(edited.inventory[0])
    domains.destroy(host.libvirt, edited.domain("web"))
    edited.edit(spec("alone"))

    outcomes = edited.up()

    result = outcomes.of(Kind.CHANGE_INTERFACES)["web"]
    assert (result.status, result.message) == (Status.UNCHANGED, "does not run")
    assert outcomes.of(Kind.START_GUESTS)["web"].status is Status.DONE
    assert running(edited) == wanted(edited)


def test_guest_that_was_changed_before_is_left_alone(edited: Rehearsal) -> None:
    edited.edit(spec("alone"))
    state, known = edited.state, edited.project.read_known()
    assert not edited.up().failed()
    edited.project.write_change(known, state)

    result = edited.up().of(Kind.CHANGE_INTERFACES)["web"]

    assert result.status is Status.UNCHANGED
    assert result.message == "has the wanted settings already"


def test_more_than_interfaces_still_needs_a_restart(edited: Rehearsal) -> None:
    edited.edit(spec("alone", environment={"MODE": "fast"}))

    outcomes = edited.up()

    assert not outcomes.failed()
    assert outcomes.of(Kind.STOP_CHANGED_GUESTS).keys() == {"web"}
    assert Kind.CHANGE_INTERFACES not in outcomes.kinds
