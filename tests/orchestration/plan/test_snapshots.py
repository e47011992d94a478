"""Wishes about snapshots, and their plans."""

from dataclasses import replace

import pytest

from orchestration.errors import ExecutionRefused
from orchestration.plan.lifecycle import plan_snapshot
from orchestration.plan.model import Plan
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish, checked
from orchestration.state.model import State
from tests.orchestration.state.samples import build, machine, spec_of

CREATE = SnapshotWish(SnapshotVerb.CREATE, "base", "ann")
RESTORE = replace(CREATE, verb=SnapshotVerb.RESTORE)


@pytest.fixture(name="state")
def _state() -> State:
    return build(spec_of(machine("a"), machine("b")))


def test_plan_names_act_and_guest(state: State) -> None:
    plan = plan_snapshot(state, CREATE, ["a"])

    assert [entry.title for entry in plan.instructions] == [
        "Take snapshot base of 1 guest",
        "End",
    ]
    assert plan.to_text().startswith("snapshot: Take snapshot base\n")
    assert Plan.from_json(plan.to_json()) == plan


def test_restore_begins_when_the_present_state_is_kept(state: State) -> None:
    plan = plan_snapshot(state, replace(RESTORE, before="now"), ["a"])

    kinds = [entry.kind for entry in plan.instructions]
    assert kinds == ["create-snapshots", "restore-snapshots", "end"]
    assert not any(entry.keep_going for entry in plan.instructions)


@pytest.mark.parametrize(
    "name", ["", "1", "12", ".a", "a/b", "a b", "a\n", "é", "-a", "a" * 64]
)
def test_name_that_qemu_or_libvirt_could_mistake_is_refused(name: str) -> None:
    with pytest.raises(ExecutionRefused):
        checked(replace(CREATE, name=name))
    if name:
        with pytest.raises(ExecutionRefused):
            checked(replace(RESTORE, before=name))


def test_snapshot_from_outside_may_have_any_name() -> None:
    assert checked(replace(RESTORE, name="1 of virsh")).name == "1 of virsh"


@pytest.mark.parametrize(
    "wish",
    [
        replace(RESTORE, before="base"),
        replace(RESTORE, name=""),
        replace(RESTORE, name="a" * 256),
        replace(CREATE, description="two\nlines"),
        replace(CREATE, description="a" * 1001),
        replace(CREATE, verb=SnapshotVerb.DELETE, is_group=True, children=True),
        replace(CREATE, verb=SnapshotVerb.RENAME),
        replace(CREATE, verb=SnapshotVerb.RENAME, title="a" * 81),
        replace(CREATE, verb=SnapshotVerb.RENAME, title="\x1b[2J"),
    ],
)
def test_wish_that_contradicts_itself_is_refused(wish: SnapshotWish) -> None:
    with pytest.raises(ExecutionRefused):
        checked(wish)


def group(verb: SnapshotVerb, **more: object) -> SnapshotWish:
    return replace(CREATE, verb=verb, is_group=True, **more)


def test_group_is_taken_and_restored_by_one_task(state: State) -> None:
    plan = plan_snapshot(state, group(SnapshotVerb.RESTORE, before="now"), [])

    assert plan.to_text().splitlines() == [
        "snapshot: Restore group snapshot base",
        "",
        "Snapshots",
        "  0  create-group-snapshot Take group snapshot now of 2 guests",
        "       host-a            demo",
        "  1  restore-group-snapshot Restore group snapshot base of 2 guests",
        "       host-a            demo",
        "",
        "Finish",
        "  2  end                 End",
    ]
    assert Plan.from_json(plan.to_json()) == plan


def test_group_is_deleted_guest_by_guest_and_then_forgotten(state: State) -> None:
    plan = plan_snapshot(state, group(SnapshotVerb.DELETE), [])

    first, second, _ = plan.instructions
    assert (first.kind, second.kind) == ("delete-snapshots", "forget-group-snapshot")
    assert [one.name for one in first.resources] == ["a", "b"]
    assert not first.keep_going


def test_only_a_restore_of_all_may_leave_the_name_out() -> None:
    latest = group(SnapshotVerb.RESTORE, name="")

    assert checked(latest).sentence == "Restore the latest snapshot"
    for verb in (SnapshotVerb.CREATE, SnapshotVerb.DELETE):
        with pytest.raises(ExecutionRefused):
            checked(group(verb, name=""))
    with pytest.raises(ExecutionRefused):
        checked(group(SnapshotVerb.RENAME, title="x"))
