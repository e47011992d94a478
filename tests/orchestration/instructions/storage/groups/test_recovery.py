"""The rests of a lost worker: guests that stand still, and half a group."""

import threading

import pytest

from orchestration.errors import HostUnreachable, SnapshotFailed
from orchestration.instructions.storage.groups import recovery
from orchestration.project import groups
from orchestration.project.groups import Journal
from orchestration.providers.libvirt import power
from orchestration.providers.libvirt.snapshots import verbs
from orchestration.providers.libvirt.snapshots.text import Label
from tests.orchestration.instructions.storage.groups.conftest import Both

WHOLE = Journal(unfinished="half", guests=("a", "b", "gone"), paused=("a", "b"))


@pytest.fixture(name="lost")
def _lost(both: Both) -> Both:
    """A worker died when both guests stood still, and `a` was stored."""
    groups.write_journal(both.rehearsal.project, WHOLE)
    for guest in ("a", "b"):
        power.pause(both.conn(guest), both.rehearsal.domain(guest))
    label = Label("ann", group=2)
    verbs.create(both.conn("a"), both.rehearsal.domain("a"), "half", "", label)
    return both


def put_right(both: Both) -> list[str]:
    rehearsal = both.rehearsal
    return recovery.put_right(rehearsal.hosts, rehearsal.state, rehearsal.project)


def test_guests_run_and_the_half_is_gone(lost: Both) -> None:
    assert lost.statuses() == ["paused", "paused"]

    assert put_right(lost) == []

    assert lost.statuses() == ["running", "running"]
    assert lost.names() == {"a": [], "b": []}
    assert groups.journal(lost.rehearsal.project) is None


def test_next_act_begins_with_that(lost: Both) -> None:
    lost.act("create", "whole")

    assert lost.names() == {"a": ["whole"], "b": ["whole"]}
    assert lost.statuses() == ["running", "running"]


def test_single_snapshot_of_the_same_name_stays(both: Both) -> None:
    groups.write_journal(both.rehearsal.project, WHOLE)
    verbs.create(both.conn("b"), both.rehearsal.domain("b"), "half", "", Label("ann"))

    assert put_right(both) == []

    assert both.names() == {"a": [], "b": ["half"]}


def test_guest_that_is_paused_by_its_user_stays_so(both: Both) -> None:
    groups.write_journal(both.rehearsal.project, Journal(guests=("a", "b")))
    power.pause(both.conn("a"), both.rehearsal.domain("a"))

    put_right(both)

    assert both.statuses() == ["paused", "running"]


def test_surprising_answer_about_one_guest_leaves_no_other_paused(
    lost: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = verbs.look

    def surprised(conn, domain):
        if domain.guest == "b":
            raise ZeroDivisionError
        return look(conn, domain)

    with monkeypatch.context() as patched:
        patched.setattr(verbs, "look", surprised)
        problems = put_right(lost)

    assert problems == ["Guest b: an unexpected error, which is in the log."]
    assert lost.statuses() == ["running", "paused"]
    assert groups.journal(lost.rehearsal.project) is not None
    assert put_right(lost) == []
    assert lost.statuses() == ["running", "running"]


def test_host_that_is_silent_is_tried_again(
    lost: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = verbs.look

    def silent(conn, domain):
        if domain.guest == "b":
            raise HostUnreachable("host-b does not answer.")
        return look(conn, domain)

    with monkeypatch.context() as patched:
        patched.setattr(recovery.verbs, "look", silent)
        assert put_right(lost) == ["host-b does not answer."]
        with pytest.raises(SnapshotFailed, match="left something unfinished: host-b"):
            lost.act("create", "next")

    assert lost.statuses() == ["running", "paused"]
    assert put_right(lost) == []
    assert lost.statuses() == ["running", "running"]


def test_act_waits_for_the_one_before(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "WAIT_S", 0.0)
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        with groups.in_work(both.rehearsal.project):
            is_held.set()
            may_go.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    is_held.wait(30)
    with pytest.raises(SnapshotFailed, match="is not over"):
        both.act("create", "base")
    may_go.set()
    other.join()
