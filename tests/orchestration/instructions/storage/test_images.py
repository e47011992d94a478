"""Images, artefacts and disks on their way to the hosts, on simulated machines."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.events import Status, TaskProgressed
from orchestration.hosts import Host
from orchestration.instructions.storage import images
from orchestration.instructions.storage.disks import delete_disks
from orchestration.instructions.task import LARGE_BYTES, Task
from orchestration.plan.model import Kind
from orchestration.project.folder import Project
from orchestration.providers.libvirt import domains
from orchestration.providers.transfer.push import Pushed, Result
from orchestration.providers.transfer.sender import Sent
from orchestration.providers.transfer.source import Content
from orchestration.state.model import HostKind, Markers
from orchestration.transport.base import OnProgress, Transport
from tests.orchestration.instructions.rehearsal import Rehearsal

MakeTask = Callable[..., Task]


def disk_result(rehearsal: Rehearsal, **options: bool) -> tuple[Status, str]:
    found = rehearsal.up(**options).of(Kind.CREATE_DISKS)["b"]
    return found.status, found.message


def test_rehearsal_fetches_and_copies_no_image(rehearsal: Rehearsal) -> None:
    outcomes = rehearsal.up()

    results = [*outcomes.of(Kind.FETCH_IMAGES).values()]
    results += outcomes.of(Kind.PUSH_IMAGES).values()
    assert {result.status for result in results} == {Status.UNCHANGED}
    assert all("rehearsal" in result.message for result in results)


def test_image_is_fetched_to_mains_store_as_the_catalogue_says(
    rehearsal: Rehearsal, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = rehearsal.state.guest("a").image
    asked: list[tuple[str, str, str, Path]] = []

    def ensure(image: object, target: Path, **hooks: object) -> bool:
        asked.append((image.name, image.path, image.sha256, target))
        for name, done in (("on_progress", 5), ("on_verify", 3)):
            hook: OnProgress = hooks[name]
            hook(done, 10)
        return len(asked) == 1

    guarded: list[Path] = []
    monkeypatch.setattr(images.base_images, "ensure_image", ensure)
    monkeypatch.setattr(
        images.protection,
        "ensure_guarded",
        lambda _, target, **more: guarded.append(target),
    )
    task = _real(make_task("test_guest"))

    assert images.fetch_images(task).status is Status.DONE
    assert images.fetch_images(task).status is Status.UNCHANGED
    assert asked[0] == (
        "test_guest",
        wanted.source,
        wanted.sha256,
        Path(wanted.main_path),
    )
    # Also when it was there before: an earlier version may have given it away.
    assert guarded == [Path(wanted.main_path)] * 2
    seen = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    told = [(5, 10, "fetch"), (3, 10, "verify")]
    assert [(e.done, e.total, e.note) for e in seen] == told * 2


RESULTS = {
    Result(Pushed.NOTHING): (Status.UNCHANGED, "on the host already"),
    Result(Pushed.LINKED): (Status.DONE, "linked: the host has the same content"),
    Result(Pushed.SENT, Sent(2**31, 50_500_000, 32_500_000, 0.61)): (
        Status.DONE,
        "copied 48.2 MiB (31.0 MiB on the wire) in 0.6 s",
    ),
}


@pytest.mark.parametrize("result", RESULTS)
def test_image_is_copied_to_where_the_hosts_guests_expect_it(
    rehearsal: Rehearsal,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
    result: Result,
) -> None:
    asked: list[tuple[Content, str, str]] = []
    image = rehearsal.state.guest("b").image
    source = Path(image.main_path)
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(b"image")

    def push(content: Content, transport: Transport, name: str, **_: object) -> Result:
        asked.append((content, transport.machine, name))
        return result

    monkeypatch.setattr(images.push, "push", push)
    outcome = images.push_images(_real(make_task("test_guest", host="host-b")))

    assert (outcome.status, outcome.message) == RESULTS[result]
    ((content, *where),) = asked
    assert content.path == source
    assert content.digest.value == hashlib.sha256(b"image").hexdigest()
    assert where == ["host-b", image.path]


def test_artefacts_go_to_the_remote_host_once(rehearsal: Rehearsal) -> None:
    guest = rehearsal.state.guest("b")

    first = rehearsal.up().of(Kind.PUSH_ARTEFACTS)
    again = rehearsal.up().of(Kind.PUSH_ARTEFACTS)

    assert first["b"].status is Status.DONE
    assert again["b"].status is Status.UNCHANGED
    assert {guest.seed, guest.xml} <= set(rehearsal.memory("host-b")["files"])
    assert "a" not in first


def test_changed_artefact_is_copied_again_and_named(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    rehearsal.events.clear()
    (rehearsal.project.artefacts / "b-domain.xml").write_text("<other/>")

    (result,) = rehearsal.obey(rehearsal.instruction(Kind.PUSH_ARTEFACTS))

    assert result.status is Status.DONE
    assert rehearsal.lines("b") == ["copied b-domain.xml"]


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, LARGE_BYTES])
def test_only_large_artefacts_tell_how_far_they_are(
    rehearsal: Rehearsal, size: int
) -> None:
    rehearsal.up()
    rehearsal.events.clear()
    (rehearsal.project.artefacts / "b-domain.xml").write_bytes(b" " * size)

    list(rehearsal.obey(rehearsal.instruction(Kind.PUSH_ARTEFACTS)))

    seen = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    told = [(e.done, e.total, e.unit, e.note) for e in seen]
    is_large = size == LARGE_BYTES
    assert told == [(size, size, "B", "copy b-domain.xml")] * is_large


def test_disk_is_an_overlay_on_the_hosts_own_copy(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    guest = rehearsal.state.guest("b")
    disk = rehearsal.memory("host-b")["files"][guest.disk]
    assert (disk["format"], disk["backing"]) == ("qcow2", guest.image.path)
    assert guest.markers.disk == Path(guest.image.path).name


def test_disk_is_kept_unless_it_is_to_be_made_anew(rehearsal: Rehearsal) -> None:
    assert disk_result(rehearsal) == (Status.DONE, "on test_guest")
    assert disk_result(rehearsal) == (Status.UNCHANGED, "")
    rehearsal.down()
    assert disk_result(rehearsal) == (Status.UNCHANGED, "")
    assert disk_result(rehearsal, provision=True) == (Status.DONE, "on test_guest")


def test_provision_stops_the_guest_and_removes_its_disk(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    guest = rehearsal.state.guest("b")
    rehearsal.events.clear()

    outcomes = rehearsal.up(provision=True)

    assert "b was stopped, to be recreated" in rehearsal.lines("b")
    assert f"rm -f -- {guest.disk}" in rehearsal.asked("host-b")
    assert outcomes.of(Kind.START_GUESTS)["b"].status is Status.DONE
    host = rehearsal.hosts.open(rehearsal.state.host("host-b"))
    found = domains.find(host.libvirt, rehearsal.domain("b"))
    assert found is not None
    assert found.is_active


def test_new_disk_forgets_what_happened_to_the_old_one(rehearsal: Rehearsal) -> None:
    rehearsal.project.mark("b", script="x", script_exit_code=0, run_script="y")

    rehearsal.up()

    markers = rehearsal.state.guest("b").markers
    assert (markers.script, markers.script_exit_code) == ("", None)
    assert (markers.run_script, markers.run_script_exit_code) == ("", None)
    assert markers.reached == rehearsal.state.guest("b").spec_hash


def test_disk_whose_maker_died_is_noted_by_the_next_up(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying_before_a_mark(monkeypatch):
        rehearsal.up()
    guest = rehearsal.state.guest("b")
    assert guest.disk in rehearsal.memory("host-b")["files"]
    assert guest.markers == Markers()

    assert disk_result(rehearsal) == (Status.UNCHANGED, "")
    assert rehearsal.state.guest("b").markers.disk == Path(guest.image.path).name


def test_new_disk_whose_maker_died_is_not_taken_for_the_old_one(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.up()
    rehearsal.project.mark("b", script="of the old disk", script_exit_code=0)
    with dying_before_a_mark(monkeypatch):
        rehearsal.up(provision=True)

    guest = rehearsal.state.guest("b")
    assert guest.disk in rehearsal.memory("host-b")["files"]
    assert guest.markers == Markers()


def test_new_disk_of_a_guest_that_moved_is_not_taken_for_the_old_one(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    rehearsal.project.mark("a", script="of the old disk", script_exit_code=0)
    assert delete_disks(make_task("a")).status is Status.DONE
    assert rehearsal.state.guest("a").markers == Markers()

    rehearsal.project.mark("a", disk="made on its new host since")
    assert delete_disks(make_task("a")).status is Status.UNCHANGED
    assert rehearsal.state.guest("a").markers.disk == "made on its new host since"


@contextmanager
def dying_before_a_mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers die after they made a disk, before they note it."""
    mark = Project.mark

    def die(project: Project, guest: str, **changes: str | int | None) -> None:
        if changes.get("disk"):
            raise RuntimeError("killed")
        mark(project, guest, **changes)

    with monkeypatch.context() as patched:
        patched.setattr(Project, "mark", die)
        yield


def test_renewed_image_is_a_warning_and_takes_no_data(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    rehearsal.project.mark("b", disk="older.qcow2")

    status, message = disk_result(rehearsal)

    assert status is Status.WARNING
    assert message == "keeps its disk, which was made from older.qcow2"
    removed = f"rm -f -- {rehearsal.state.guest('b').disk}"
    assert removed not in rehearsal.asked("host-b")
    assert disk_result(rehearsal, provision=True)[0] is Status.DONE
    assert disk_result(rehearsal)[0] is Status.UNCHANGED


def test_disk_that_cannot_be_made_leaves_no_mark(rehearsal: Rehearsal) -> None:
    fault = {"exit_code": 1, "stderr": "Could not open backing file"}
    rehearsal.break_("host-b", {"qemu-img create": fault})

    status, message = disk_result(rehearsal)

    assert status is Status.FAILED
    assert "could not be made on host-b" in message
    assert rehearsal.state.guest("b").markers.disk == ""


def _real(task: Task) -> Task:
    """The same task as on a host that does not only rehearse."""
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    return replace(task, host=Host(real, task.host.transport, task.host.libvirt))
