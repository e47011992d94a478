"""Restores of all guests: together, each to what it had, with its marks and clock."""

import pytest

from orchestration.errors import Cancelled, LibvirtFailed, SnapshotFailed
from orchestration.events import Status
from orchestration.instructions.storage.groups import restoring
from orchestration.instructions.storage.snapshots import (
    create_snapshots,
    delete_snapshots,
)
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.project import groups
from orchestration.providers.libvirt.snapshots import verbs
from tests.orchestration.instructions.storage.groups.conftest import Both


def take_one(both: Both, guest: str, name: str) -> None:
    task = both.task("create", name)
    task.resource = both.make_task(guest).resource
    task.host = both.rehearsal.hosts.open(
        both.rehearsal.state.host(both.rehearsal.state.guest(guest).host)
    )
    task.snapshot = SnapshotWish(SnapshotVerb.CREATE, name, "ann")
    create_snapshots(task)


def test_all_go_back_and_go_on_together(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.rehearsal.project.mark("b", script="then")
    both.act("create", "base")
    both.rehearsal.project.mark("b", script="now")
    both.by_hand("a", lambda domain: domain.destroy())
    order: list[str] = []
    restore, resume = verbs.restore, verbs.resume
    monkeypatch.setattr(
        restoring.verbs,
        "restore",
        lambda *args, **more: (order.append("back"), restore(*args, **more)),
    )
    monkeypatch.setattr(
        restoring.verbs, "resume", lambda *args: (order.append("on"), resume(*args))
    )

    restored = both.act("restore", "base")

    assert order == ["back", "back", "on", "on"]
    assert restored.status is Status.DONE
    assert restored.message.startswith("2 guests restored; they went on within")
    assert "b on host-b, base: is running" in restored.detail
    assert both.statuses() == ["running", "running"]
    assert both.rehearsal.state.guest("b").markers.script == "then"
    assert groups.journal(both.rehearsal.project) is None


def test_host_that_resumed_its_guests_itself_is_named(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.act("create", "base")
    monkeypatch.setattr(restoring.Guards, "stop", lambda self: ["host-b"])

    restored = both.act("restore", "base")

    assert restored.status is Status.WARNING
    assert restored.message == (
        "2 guests restored; those on host-b may have gone on before the others"
    )


def test_other_yaml_is_named(both: Both) -> None:
    both.rehearsal.project.yaml.write_text("then")
    both.act("create", "base")
    both.rehearsal.project.yaml.write_text("now")

    restored = both.act("restore", "base")

    assert restored.status is Status.WARNING
    assert "the YAML of then differs from the present one" in restored.message


def test_each_returns_to_its_latest_and_not_to_the_one_just_taken(both: Both) -> None:
    take_one(both, "a", "old")
    both.act("create", "now", before="")

    restored = both.act("restore", before="now")

    assert restored.status is Status.WARNING
    assert restored.detail == "a on host-a, old: is running"
    assert "not restored: b" in restored.message


def test_snapshot_newer_than_the_question_is_not_restored(both: Both) -> None:
    take_one(both, "a", "old")
    take_one(both, "a", "new")

    with pytest.raises(SnapshotFailed, match="a on host-a has new as its latest now"):
        both.act("restore", latest={"a": "old"})

    assert both.act("restore", latest={"a": "new"}).detail.startswith(
        "a on host-a, new"
    )


def test_group_that_was_taken_again_under_its_name_is_another_one(both: Both) -> None:
    both.act("create", "base")
    times = {guest: both.tree(guest)["base"].created_at for guest in ("a", "b")}

    with pytest.raises(SnapshotFailed, match="b on host-b has another snapshot base"):
        both.act("restore", "base", taken=times | {"b": times["b"] - 60})

    assert "2 guests restored" in both.act("restore", "base", taken=times).message


def test_group_that_is_not_whole_is_refused(both: Both) -> None:
    both.act("create", "base")
    both.by_hand("b", lambda domain: domain.snapshotLookupByName("base").delete())
    take_one(both, "b", "base")

    with pytest.raises(SnapshotFailed, match="b on host-b is not in group snapshot"):
        both.act("restore", "base")


def test_failure_on_one_names_the_rest_and_lets_them_run(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.act("create", "base")
    restore = verbs.restore

    def fail_on_b(conn, domain, *more, **options):
        if domain.guest == "b":
            raise LibvirtFailed("Could not restore it on host-b.")
        restore(conn, domain, *more, **options)

    monkeypatch.setattr(restoring.verbs, "restore", fail_on_b)
    with pytest.raises(SnapshotFailed) as failed:
        both.act("restore", "base", before="now")

    assert "Restored: a; not restored: b." in failed.value.message
    assert "or restore now for the state before" in failed.value.hint
    assert both.statuses() == ["running", "running"]


def test_cancel_restores_no_further_guest_and_lets_all_run(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.act("create", "base")
    monkeypatch.setattr(
        restoring.Guards, "start", lambda self: both.rehearsal.scope.cancel()
    )

    with pytest.raises(Cancelled, match="Restored: none; not restored: a, b"):
        both.act("restore", "base")

    assert both.statuses() == ["running", "running"]


def test_deletion_leaves_one_of_the_same_name_that_is_not_of_the_group(
    both: Both,
) -> None:
    take_one(both, "a", "base")
    task = both.task("delete", "base")
    task.resource = both.make_task("a").resource

    assert delete_snapshots(task).message.endswith("is not of the group")
    assert list(both.tree("a")) == ["base"]


def test_deleted_group_is_forgotten(both: Both) -> None:
    both.act("create", "base")
    both.act("delete", "base")

    assert groups.record(both.rehearsal.project, "base").guests == ()
