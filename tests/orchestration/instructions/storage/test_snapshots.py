"""Snapshots of guests of simulated hosts: looked at first, and never lost silently."""

import re
from collections.abc import Callable
from dataclasses import replace

import libvirt
import pytest

from orchestration.errors import Cancelled, ImageFailed, NotEnoughSpace, SnapshotFailed
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.storage import snapshots
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.model import Command, Kind
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.project.snapshots import KeptRecord, kept, kept_sizes
from orchestration.providers.images.qemu_img import ImageInfo
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.snapshots import verbs
from orchestration.providers.libvirt.snapshots.text import Snapshot
from orchestration.state.model import HostKind
from tests.fakes import FakeTransport
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests

MakeTask = Callable[..., Task]
Act = Callable[..., Outcome]
ACTS = {
    "create": snapshots.create_snapshots,
    "restore": snapshots.restore_snapshots,
    "delete": snapshots.delete_snapshots,
    "rename": snapshots.rename_snapshots,
}


@pytest.fixture(name="act")
def _act(rehearsal: Rehearsal, make_task: MakeTask) -> Act:
    """Do something with a snapshot of guest `a`, which is up."""
    rehearsal.up()

    def act(verb: str, name: str, **more: object) -> Outcome:
        wish = SnapshotWish(SnapshotVerb(verb), name, "ann", **more)
        return ACTS[verb](replace(make_task("a"), snapshot=wish))

    return act


def tree(rehearsal: Rehearsal) -> dict[str, Snapshot]:
    conn = rehearsal.hosts.open(rehearsal.state.host("host-a")).libvirt
    situation = verbs.look(conn, rehearsal.domain("a"))
    return {one.name: one for one in situation.snapshots} if situation else {}


def status_of(rehearsal: Rehearsal) -> str:
    conn = rehearsal.hosts.open(rehearsal.state.host("host-a")).libvirt
    return domains.find(conn, rehearsal.domain("a")).status


def by_hand(rehearsal: Rehearsal, work: Callable[[libvirt.virDomain], object]) -> None:
    """Change guest `a` as another program does."""
    conn = rehearsal.hosts.open(rehearsal.state.host("host-a")).libvirt
    name = rehearsal.domain("a").name
    conn.call("act", lambda handle: work(handle.lookupByName(name)), changes=True)


def sentence(act: Act, *words: str, **more: object) -> str:
    with pytest.raises(SnapshotFailed) as refused:
        act(*words, **more)
    return refused.value.sentence


def test_guest_goes_back_and_its_snapshot_says_by_whom(
    act: Act, rehearsal: Rehearsal
) -> None:
    taken = act("create", "base", description="before the attack")
    by_hand(rehearsal, lambda domain: domain.destroy())
    restored = act("restore", "base")

    assert (taken.status, restored.status) == (Status.DONE, Status.DONE)
    assert taken.message.startswith("with memory; the guest stood still for at most")
    assert restored.message == "is running"
    assert status_of(rehearsal) == "running"
    base = tree(rehearsal)["base"]
    assert (base.label.by, base.description) == ("ann", "before the attack")


def test_guest_that_is_off_is_kept_without_memory(
    act: Act, rehearsal: Rehearsal
) -> None:
    by_hand(rehearsal, lambda domain: domain.destroy())
    assert act("create", "off").message == "the disk alone: the guest is off"
    by_hand(rehearsal, lambda domain: domain.create())

    assert act("restore", "off").message == "is off"
    assert status_of(rehearsal) == "shut off"


def test_present_state_is_kept_before_a_restore(
    act: Act, rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    act("create", "base")
    wish = SnapshotWish(SnapshotVerb.RESTORE, "base", "ann", before="now")

    snapshots.create_snapshots(replace(make_task("a"), snapshot=wish))

    assert tree(rehearsal)["now"].description == "before base was restored"


@pytest.mark.parametrize("verb", ["restore", "delete", "rename"])
def test_snapshot_that_was_taken_again_under_its_name_is_another_one(
    act: Act, rehearsal: Rehearsal, verb: str
) -> None:
    act("create", "base")
    now = tree(rehearsal)["base"].created_at

    words = sentence(act, verb, "base", title="x", taken={"a": now - 60})

    assert "a on host-a has another snapshot base than the one that was" in words
    assert tree(rehearsal)["base"].title == "base"
    act(verb, "base", title="x", taken={"a": now})


def test_marks_come_back_with_the_disk(act: Act, rehearsal: Rehearsal) -> None:
    project = rehearsal.project
    project.mark("a", script="old", script_exit_code=0, user_keys="k1")
    act("create", "base")
    project.mark("a", script="new", script_exit_code=1, user_keys="k2", context="c")

    act("restore", "base")

    markers = rehearsal.state.guest("a").markers
    assert (markers.script, markers.script_exit_code) == ("old", 0)
    assert (markers.user_keys, markers.context) == ("k1", "")
    assert markers.disk, "the disk is the same file"


def test_restored_disk_alone_has_to_run_its_script_again(
    act: Act, rehearsal: Rehearsal
) -> None:
    rehearsal.project.mark("a", run_script="r", run_script_exit_code=0)
    by_hand(rehearsal, lambda domain: domain.destroy())
    act("create", "off")

    act("restore", "off")

    assert rehearsal.state.guest("a").markers.run_script == ""


def test_marks_of_a_snapshot_from_outside_are_not_guessed(
    act: Act, rehearsal: Rehearsal
) -> None:
    rehearsal.project.mark("a", script="now")
    xml = "<domainsnapshot><name>theirs</name></domainsnapshot>"
    by_hand(rehearsal, lambda domain: domain.snapshotCreateXML(xml))

    restored = act("restore", "theirs")

    assert restored.status is Status.WARNING
    assert "another program took this snapshot" in restored.message
    assert rehearsal.state.guest("a").markers.script == "now"


def test_older_settings_are_named(act: Act, rehearsal: Rehearsal) -> None:
    act("create", "base")
    rehearsal.build(two_guests(expand_gigabytes=2))

    restored = act("restore", "base")

    assert restored.status is Status.WARNING
    assert restored.message == "is running, with the settings of then"


def test_guest_gets_no_memory_back_that_an_edit_took(
    act: Act, rehearsal: Rehearsal
) -> None:
    act("create", "base")
    state = rehearsal.state
    smaller = tuple(g.model_copy(update={"memory_mib": 64}) for g in state.guests)
    rehearsal.project.write_state(state.model_copy(update={"guests": smaller}))

    assert "which is more than it has now" in sentence(act, "restore", "base")


def test_snapshot_that_was_taken_while_the_run_was_cancelled_goes(
    act: Act, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = verbs.create

    def cancelled_meanwhile(*words: object) -> None:
        create(*words)
        rehearsal.scope.cancel()

    monkeypatch.setattr(verbs, "create", cancelled_meanwhile)

    with pytest.raises(Cancelled, match="deleted again"):
        act("create", "base")

    rehearsal.scope.stop.clear()
    assert tree(rehearsal) == {}
    assert status_of(rehearsal) == "running"


def test_cancel_that_comes_after_the_snapshot_leaves_it_and_says_that_it_is_there(
    act: Act, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its size is looked up then."""

    def cancelled_meanwhile(*_: object) -> None:
        if tree(rehearsal):
            rehearsal.scope.cancel()
            raise Cancelled

    monkeypatch.setattr(snapshots, "disk_of", cancelled_meanwhile)

    assert act("create", "base").status is Status.DONE
    assert list(tree(rehearsal)) == ["base"]


def test_deletion_counts_what_goes(act: Act, rehearsal: Rehearsal) -> None:
    for name in ("a", "b", "c"):
        act("create", name)

    assert act("delete", "c").message == ""
    assert act("delete", "c").message == "did not exist"
    assert act("delete", "a", children=True).message == "with 1 snapshot below it"
    assert tree(rehearsal) == {}


def test_every_snapshot_that_was_seen_goes_and_a_later_one_stays(
    act: Act, rehearsal: Rehearsal
) -> None:
    for name in ("a", "b", "c"):
        act("create", name)
    seen = {one.name: one.created_at for one in tree(rehearsal).values()}
    act("create", "later")

    words = sentence(act, "delete", "", every=seen | {"b": seen["b"] - 60})
    assert "has another snapshot b than the one that was chosen" in words
    assert set(tree(rehearsal)) == {"a", "b", "c", "later"}
    assert act("delete", "", every=seen).message == "1 snapshot taken since then stays"
    assert set(tree(rehearsal)) == {"later"}
    assert act("delete", "", every=seen).message == "none of them exists"


def test_deletion_of_every_snapshot_ends_between_two_when_cancelled(
    act: Act, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        act("create", name)
    seen = {one.name: one.created_at for one in tree(rehearsal).values()}
    delete = verbs.delete

    def cancelled_meanwhile(*words: object) -> bool:
        rehearsal.scope.stop.set()
        return delete(*words)

    monkeypatch.setattr(verbs, "delete", cancelled_meanwhile)

    with pytest.raises(Cancelled):
        act("delete", "", every=seen)

    rehearsal.scope.stop.clear()
    assert set(tree(rehearsal)) == {"a"}, "the child went first"


def test_other_name_is_a_title(act: Act, rehearsal: Rehearsal) -> None:
    act("create", "base")
    act("create", "next")

    assert act("rename", "base", title="Set up").message == "virsh shows it as base"
    assert act("rename", "base", title="Set up").status is Status.UNCHANGED
    assert tree(rehearsal)["base"].title == "Set up"
    for name in ("base", "Set up"):
        assert sentence(act, "rename", "next", title=name).startswith(
            f"Guest a on host-a has a snapshot {name} already."
        )


@pytest.mark.parametrize("verb", ["restore", "rename"])
def test_missing_snapshot_is_named(act: Act, verb: str) -> None:
    more = {"title": "x"} if verb == "rename" else {}

    assert sentence(act, verb, "no", **more) == (
        "Guest a on host-a has no snapshot no. Choose another one."
    )


def test_guest_that_is_not_defined_fails_with_a_sentence(
    act: Act, rehearsal: Rehearsal
) -> None:
    rehearsal.down()

    for verb in ("create", "restore", "delete"):
        assert sentence(act, verb, "base") == (
            "Guest a does not exist on host-a. Use Up."
        )


def test_snapshots_survive_down_and_up(act: Act, rehearsal: Rehearsal) -> None:
    act("create", "base")
    act("create", "one")
    act("restore", "base")
    act("create", "two")
    xml = "<domainsnapshot><name>theirs</name></domainsnapshot>"
    by_hand(rehearsal, lambda domain: domain.snapshotCreateXML(xml))
    before = tree(rehearsal)

    down = rehearsal.down()
    assert down.failed() == {}
    assert "4 snapshots kept for the next Up" in rehearsal.lines("a")
    assert tree(rehearsal) == {}
    assert len(kept(rehearsal.project, "a").texts) == 4
    assert rehearsal.up().failed() == {}

    assert tree(rehearsal) == before
    assert kept(rehearsal.project, "a") == KeptRecord()
    assert act("restore", "one").status is Status.DONE


def test_sizes_are_kept_with_the_records(
    act: Act,
    rehearsal: Rehearsal,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    act("create", "base")
    info = ImageInfo("qcow2", 1 << 31, 300 << 20, "", snapshots={"base": 97 << 20})
    monkeypatch.setattr(snapshots.qemu_img, "info", lambda *_, **__: info)
    task = on_real(make_task("a"), "")

    snapshots.keep_records(task, task.state.guest("a"))

    assert kept_sizes(rehearsal.project) == {"a": (97 << 20, 300 << 20)}


def test_down_goes_on_where_sizes_cannot_be_read(
    act: Act,
    rehearsal: Rehearsal,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> ImageInfo:
        raise ImageFailed("The disk of a is locked.")

    act("create", "base")
    monkeypatch.setattr(snapshots.qemu_img, "info", fail)
    task = on_real(make_task("a"), "")

    assert snapshots.keep_records(task, task.state.guest("a")) == ""

    assert kept_sizes(rehearsal.project) == {"a": (0, 0)}


def test_refused_record_stays_kept(
    act: Act, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    act("create", "base")
    rehearsal.down()
    monkeypatch.setattr(verbs, "give_back", lambda *_: ("base: of another version",))

    assert rehearsal.up().failed() == {}

    said = "libvirt did not take a snapshot back: base: of another version"
    assert said in rehearsal.lines("a")
    assert len(kept(rehearsal.project, "a").texts) == 1


def test_snapshots_go_with_their_disk(act: Act, rehearsal: Rehearsal) -> None:
    act("create", "base")

    assert rehearsal.up(provision=True).failed() == {}

    assert "1 snapshot of a went with its disk" in rehearsal.lines("a")
    assert tree(rehearsal) == {}


def test_kept_records_go_with_artefacts(act: Act, rehearsal: Rehearsal) -> None:
    act("create", "base")
    rehearsal.down()

    assert rehearsal.run(Command.CLEAR_ARTEFACTS).failed() == {}

    assert not rehearsal.project.snapshots.exists()


def test_removed_guest_leaves_no_records(
    act: Act, rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    act("create", "base")
    rehearsal.down()

    snapshots.forget_records(make_task("a"), rehearsal.state.guest("a"))

    assert kept(rehearsal.project, "a") == KeptRecord()


def test_overlay_of_another_program_is_named_by_down(
    act: Act, rehearsal: Rehearsal
) -> None:
    act("create", "base")
    disk = rehearsal.state.guest("a").disk
    # As `virsh snapshot-create-as --disk-only` leaves it.
    by_hand(
        rehearsal,
        lambda domain: domain.connect().defineXML(
            domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE).replace(disk, f"{disk}.1")
        ),
    )
    by_hand(rehearsal, lambda domain: domain.destroy())

    stopped = rehearsal.down().of(Kind.STOP_GUESTS)["a"]

    assert stopped.status is Status.WARNING
    assert f"what the guest wrote since is in {disk}.1" in stopped.message


def test_snapshot_that_does_not_fit_is_not_begun(
    act: Act,
    rehearsal: Rehearsal,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    info = ImageInfo("qcow2", 1 << 31, 1 << 20, "", snapshots={"lost": 5})
    monkeypatch.setattr(snapshots.qemu_img, "info", lambda *_, **__: info)
    task = on_real(make_task("a"), "4096 30000\n")  # 117 MiB

    with pytest.raises(NotEnoughSpace, match="snapshot base of a on host-a"):
        snapshots.create_snapshots(wanted(task, "base"))
    with pytest.raises(SnapshotFailed, match="data of a snapshot lost"):
        snapshots.create_snapshots(wanted(task, "lost"))
    assert tree(rehearsal) == {}


def wanted(task: Task, name: str) -> Task:
    return replace(task, snapshot=SnapshotWish(SnapshotVerb.CREATE, name, "ann"))


def on_real(task: Task, space: str) -> Task:
    """Return the task on a host whose disks have contents, with so much space."""
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    transport = FakeTransport("host-a", [(re.compile("stat -L -f .*"), space)])
    return replace(task, host=Host(real, transport, task.host.libvirt))
