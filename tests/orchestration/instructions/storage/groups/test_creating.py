"""A snapshot of all guests: at one moment, on all of them or on none."""

from dataclasses import replace
from threading import BoundedSemaphore, get_ident

import pytest

from orchestration.errors import Cancelled, LibvirtFailed, SnapshotFailed
from orchestration.events import Status
from orchestration.instructions.storage.groups import creating, members
from orchestration.project import groups
from orchestration.providers.libvirt import agent, power
from orchestration.providers.libvirt.snapshots import verbs
from tests.orchestration.instructions.storage.groups.conftest import Both


def test_all_have_it_and_each_standstill_is_told(both: Both) -> None:
    both.rehearsal.project.yaml.write_text("machines: []\n")

    taken = both.act("create", "base", description="before the attack")

    assert taken.status is Status.DONE
    assert "2 guests on 2 hosts; each stood still for at most" in taken.message
    assert "all stopped within" in taken.message
    assert "a on host-a: stood still for at most" in taken.detail
    assert "b on host-b: stood still for at most" in both.log()
    assert both.statuses() == ["running", "running"]
    for guest in ("a", "b"):
        base = both.tree(guest)["base"]
        assert (base.label.by, base.label.group) == ("ann", 2)
        assert (base.status, base.description) == ("running", "before the attack")
    record = groups.record(both.rehearsal.project, "base")
    assert record.compose == "machines: []\n"
    assert [one.guest for one in record.guests] == ["a", "b"]
    assert record.skew_s >= max(one.after_s for one in record.guests)
    assert groups.journal(both.rehearsal.project) is None


def test_all_stand_still_before_the_first_is_stored(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    pause, create = power.pause, verbs.create

    def paused(conn, domain):
        pause(conn, domain)
        order.append("paused")

    def created(*args):
        order.append("stored")
        create(*args)

    monkeypatch.setattr(creating.power, "pause", paused)
    monkeypatch.setattr(creating.verbs, "create", created)
    both.act("create", "base")

    assert order == ["paused", "paused", "stored", "stored"]


def test_guests_that_are_off_or_paused_stay_so(both: Both) -> None:
    both.by_hand("a", lambda domain: domain.destroy())
    both.by_hand("b", lambda domain: domain.suspend())

    taken = both.act("create", "base")

    assert taken.message == "2 guests on 2 hosts, without standstill: none ran"
    assert both.statuses() == ["shut off", "paused"]
    assert both.tree("b")["base"].status == "paused"


def test_obstacle_of_one_guest_is_said_before_anything_happens(both: Both) -> None:
    both.by_hand("b", lambda domain: domain.undefine())
    both.by_hand("b", lambda domain: domain.destroy())
    with pytest.raises(SnapshotFailed, match="b does not exist on host-b"):
        both.act("create", "base")
    assert both.tree("a") == {}


def test_name_that_one_guest_has_is_refused(both: Both) -> None:
    xml = "<domainsnapshot><name>base</name></domainsnapshot>"
    both.by_hand("b", lambda domain: domain.snapshotCreateXML(xml))

    with pytest.raises(SnapshotFailed, match="b on host-b has a snapshot base already"):
        both.act("create", "base")

    assert both.names() == {"a": [], "b": ["base"]}


def test_failure_on_one_guest_leaves_none(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = verbs.create

    def fail_on_b(conn, domain, *more):
        if domain.guest == "b":
            raise LibvirtFailed("Could not take it on host-b.")
        create(conn, domain, *more)

    monkeypatch.setattr(creating.verbs, "create", fail_on_b)
    with pytest.raises(SnapshotFailed) as failed:
        both.act("create", "base")

    assert "Could not take it on host-b. No guest has it" in failed.value.message
    assert both.names() == {"a": [], "b": []}
    assert both.statuses() == ["running", "running"]
    assert groups.journal(both.rehearsal.project) is None


@pytest.mark.parametrize("at", ["pause", "create"])
def test_cancel_leaves_no_guest_paused_and_no_snapshot(
    both: Both, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    module = {"pause": creating.power, "create": creating.verbs}[at]
    act = getattr(module, at)

    def cancelled(*args):
        act(*args)
        both.rehearsal.scope.cancel()

    monkeypatch.setattr(module, at, cancelled)
    with pytest.raises(Cancelled, match="No guest has it"):
        both.act("create", "base")

    assert both.names() == {"a": [], "b": []}
    assert both.statuses() == ["running", "running"]


def test_host_that_resumed_its_guests_itself_spoils_the_group(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members.Guards, "stop", lambda self: ["host-b"])

    with pytest.raises(SnapshotFailed, match="The guests on host-b ran on meanwhile"):
        both.act("create", "base")

    assert both.names() == {"a": [], "b": []}


def test_file_systems_are_held_where_an_agent_answers_and_always_let_go(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    situation = verbs._situation
    monkeypatch.setattr(
        verbs, "_situation", lambda d: _with_agent(situation(d), d.name())
    )
    monkeypatch.setattr(
        agent, "freeze", lambda c, d: asked.append(f"freeze {d.guest}") or 2
    )
    monkeypatch.setattr(agent, "thaw", lambda c, d: asked.append(f"thaw {d.guest}"))

    both.act("create", "base")

    assert asked == ["freeze a", "thaw a"]
    assert both.tree("a")["base"].label.frozen
    assert not both.tree("b")["base"].label.frozen
    record = groups.record(both.rehearsal.project, "base")
    assert [one.held_systems for one in record.guests] == [2, 0]

    both.act("restore", "base")
    assert asked[2:] == ["thaw a"]


def test_guest_that_thaws_slowly_delays_no_other(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed, thawed = set[int](), list[bool]()

    class Slot(BoundedSemaphore):
        def __exit__(self, *args: object) -> None:
            super().__exit__(*args)
            freed.add(get_ident())

    situation = verbs._situation
    monkeypatch.setattr(
        verbs, "_situation", lambda d: _with_agent(situation(d), d.name())
    )
    monkeypatch.setattr(creating, "BoundedSemaphore", Slot)
    monkeypatch.setattr(agent, "freeze", lambda c, d: 1)
    monkeypatch.setattr(agent, "thaw", lambda c, d: thawed.append(get_ident() in freed))

    both.act("create", "base")

    assert thawed == [True]


def test_agent_that_held_no_file_system_froze_none(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    thawed: list[str] = []
    situation = verbs._situation
    monkeypatch.setattr(
        verbs, "_situation", lambda d: _with_agent(situation(d), d.name())
    )
    monkeypatch.setattr(agent, "ask", lambda *_, **__: 0)
    monkeypatch.setattr(agent, "thaw", lambda c, d: thawed.append(d.guest))

    outcome = both.act("create", "base")

    assert "frozen" not in outcome.detail
    assert not both.tree("a")["base"].label.frozen
    assert thawed == ["a"]
    said = "The file systems of a are not frozen: its agent could freeze none."
    assert said in both.rehearsal.lines("demo")


def _with_agent(found, name: str):
    return replace(found, has_agent=name.endswith("a"))
