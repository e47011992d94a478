"""Golden images: made once, never half, never touched again; clones over them."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import Cancelled, ImageFailed
from orchestration.events import Event, LogLine, Status, TaskProgressed
from orchestration.hosts import Host
from orchestration.instructions import golden
from orchestration.instructions.base import Task
from orchestration.instructions.disks import made_from
from orchestration.instructions.golden import prepare_goldens
from orchestration.instructions.kinds import Kind
from orchestration.providers import qemu_img
from orchestration.providers.libvirt import domains
from orchestration.providers.stamps import read_stamp, stamp_name
from orchestration.spec.schema import Spec
from orchestration.state.bases import DiskFile
from orchestration.state.images import ImageState
from orchestration.state.model import GoldenState, HostKind
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of

SCRIPTS = {"shared.sh": "#!/bin/sh\nmake things\n", "own.sh": "#!/bin/sh\n"}
RUNS = "/bin/sh /tmp/testbed-node-shared.sh"
GUEST = "demo-node"


def clones(*bridges: str) -> Spec:
    node = scaled(
        "node",
        *[[bridge] for bridge in bridges],
        shared_setup="shared.sh",
        clone_setup=[{"script": "own.sh", "clones": [1]}],
    )
    return spec_of(node, bridges=("br0", "br1"))


@pytest.fixture(name="scaling")
def _scaling(tmp_path: Path) -> Iterator[Rehearsal]:
    """`node-0` on main, `node-1` and `node-2` on host-b."""
    rehearsal = Rehearsal(tmp_path, clones("br0", "br1", "br1"), scripts=SCRIPTS)
    yield rehearsal
    rehearsal.hosts.close()


def image_of(rehearsal: Rehearsal) -> ImageState:
    return rehearsal.state.goldens[0].image


def is_made(rehearsal: Rehearsal) -> bool:
    return image_of(rehearsal).path in rehearsal.memory("host-a")["files"]


def leftovers(rehearsal: Rehearsal) -> list[str]:
    """What a preparation may not leave: its domain and its working files."""
    conn = rehearsal.hosts.open(rehearsal.state.main).libvirt
    guest, image = rehearsal.state.goldens[0].guest, image_of(rehearsal)
    files = rehearsal.memory("host-a")["files"]
    found = [name for name in files if name.startswith((guest.disk, f"{image.path}."))]
    domain = domains.find(conn, guest.domain)
    return found + ([domain.name] if domain else [])


def test_up_prepares_once_and_lays_every_clone_over_its_hosts_image(
    scaling: Rehearsal,
) -> None:
    outcomes = scaling.up()

    assert outcomes.failed() == {}
    made = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
    assert (made.status, made.message) == (Status.DONE, "prepared")
    assert is_made(scaling)
    assert leftovers(scaling) == []
    for guest in scaling.state.guests:
        disk = scaling.memory(guest.host)["files"][guest.disk]
        assert disk["backing"] == guest.image.path
        assert guest.markers.disk == image_of(scaling).identity
    asked = scaling.asked(GUEST)
    ran = next(i for i, line in enumerate(asked) if "shared.sh" in line)
    sealed = next(i for i, line in enumerate(asked) if " seal nocloud" in line)
    assert ran < sealed


def test_up_again_prepares_nothing_not_even_with_provision(scaling: Rehearsal) -> None:
    scaling.up()
    asked = len(scaling.asked(GUEST))

    again, provisioned = scaling.up(), scaling.up(provision=True)

    for outcomes in (again, provisioned):
        result = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
        assert (result.status, result.message) == (Status.UNCHANGED, "prepared before")
    statuses = {r.status for r in provisioned.of(Kind.CREATE_CLONES).values()}
    assert statuses == {Status.DONE}
    assert len(scaling.asked(GUEST)) == asked


def test_golden_image_stays_after_down(scaling: Rehearsal) -> None:
    scaling.up()

    assert scaling.down().failed() == {}

    assert is_made(scaling)
    assert scaling.up().statuses() <= {Status.DONE, Status.UNCHANGED}


def test_edited_shared_script_makes_another_image_and_the_clones_anew(
    scaling: Rehearsal,
) -> None:
    scaling.up()
    before = image_of(scaling)
    (scaling.project.files / "shared.sh").write_text("make other things\n")
    scaling.edit(clones("br0", "br1", "br1"))

    outcomes = scaling.up()

    assert outcomes.failed() == {}
    assert outcomes.of(Kind.PREPARE_GOLDENS)["node"].status is Status.DONE
    assert image_of(scaling).path != before.path
    assert set(outcomes.of(Kind.DELETE_DISKS)) == {"node-0", "node-1", "node-2"}
    for guest in scaling.state.guests:
        disk = scaling.memory(guest.host)["files"][guest.disk]
        assert disk["backing"] == guest.image.path


def test_growing_and_shrinking_touch_no_other_clone(scaling: Rehearsal) -> None:
    scaling.up()
    scaling.edit(clones("br0", "br1", "br1", "br0", "br1"))

    grown = scaling.up()

    created = {n: r.status for n, r in grown.of(Kind.CREATE_CLONES).items()}
    assert created == {
        "node-0": Status.UNCHANGED,
        "node-1": Status.UNCHANGED,
        "node-2": Status.UNCHANGED,
        "node-3": Status.DONE,
        "node-4": Status.DONE,
    }
    started = {n: r.status for n, r in grown.of(Kind.START_GUESTS).items()}
    assert started == created

    scaling.edit(clones("br0", "br1"))
    shrunk = scaling.up()

    assert set(shrunk.of(Kind.STOP_GUESTS)) == {"node-2", "node-3", "node-4"}
    assert set(shrunk.of(Kind.DELETE_DISKS)) == {"node-2", "node-3", "node-4"}
    rest = {r.status for r in shrunk.of(Kind.START_GUESTS).values()}
    assert rest == {Status.UNCHANGED}


def test_failed_script_makes_nothing_and_up_goes_on_from_there(
    scaling: Rehearsal,
) -> None:
    scaling.break_(GUEST, {RUNS: {"exit_code": 3, "stderr": "no"}})

    failed = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert failed.status is Status.FAILED
    assert "shared.sh for golden image node ended with exit code 3" in failed.message
    assert not is_made(scaling)
    assert leftovers(scaling) == []
    scaling.break_(GUEST, {})
    assert scaling.up().failed() == {}
    assert is_made(scaling)


class _CancelAt(list[Event]):
    """Events that cancel as soon as a line says something."""

    def __init__(self, words: str, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._words, self._cancel = words, cancel

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, LogLine) and self._words in event.text:
            self._cancel()


@pytest.mark.parametrize("moment", ["started", "runs shared.sh", "shuts down"])
def test_cancelled_preparation_leaves_nothing_behind(
    scaling: Rehearsal, moment: str
) -> None:
    scaling.break_(GUEST, {RUNS: {"sleep_s": 600}} if "runs" in moment else {})
    scaling.events = _CancelAt(moment, scaling.scope.cancel)

    outcomes = scaling.up()

    result = outcomes.of(Kind.PREPARE_GOLDENS)["node"]
    assert result.status is Status.CANCELLED
    assert not is_made(scaling)
    assert leftovers(scaling) == []


def test_what_a_killed_worker_left_is_removed_first(scaling: Rehearsal) -> None:
    for kind in (Kind.PREPARE_HOSTS, Kind.GENERATE_ARTEFACTS):
        list(scaling.obey(scaling.instruction(kind)))
    guest = scaling.state.goldens[0].guest
    host = scaling.hosts.open(scaling.state.main)
    xml = (scaling.project.artefacts / "node-domain.xml").read_text()
    domains.define(host.libvirt, xml)
    domains.start(host.libvirt, guest.domain)
    host.transport.put(b"half", guest.disk, scope=Scope())

    outcomes = scaling.up()

    assert outcomes.failed() == {}
    assert "powered off" in scaling.lines("node")
    assert leftovers(scaling) == []


def test_guest_that_ignores_the_power_button_is_powered_off_with_a_warning(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden.domains, "shut_down", lambda *_, **__: False)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.WARNING
    assert "did not answer the power button within 90 s" in result.message
    assert is_made(scaling)
    assert leftovers(scaling) == []


def test_disk_is_stored_only_when_nobody_holds_it(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [True, True, False]
    monkeypatch.setattr(golden, "UNLOCK_POLL_S", 0.001)
    monkeypatch.setattr(golden.qemu_img, "is_locked", lambda *_, **__: answers.pop(0))

    assert scaling.up().failed() == {}

    assert answers == []


def test_disk_that_stays_in_use_fails_the_preparation(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "UNLOCK_TIMEOUT_S", 0.0)
    monkeypatch.setattr(golden.qemu_img, "is_locked", lambda *_, **__: True)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "is still in use" in result.message
    assert not is_made(scaling)


def test_script_that_was_edited_after_planning_is_not_what_the_name_says(
    scaling: Rehearsal,
) -> None:
    (scaling.project.files / "shared.sh").write_text("make other things\n")

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "script shared.sh was edited after golden image node" in result.message
    assert not is_made(scaling)


def test_script_that_is_edited_while_the_guest_boots_is_not_stored(
    scaling: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = golden.wait_until_reachable

    def edit(*of: object) -> object:
        (scaling.project.files / "shared.sh").write_text("make other things\n")
        return wait(*of)

    monkeypatch.setattr(golden, "wait_until_reachable", edit)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert "script shared.sh was edited after golden image node" in result.message
    assert not is_made(scaling)
    assert leftovers(scaling) == []


def with_context() -> Spec:
    node = scaled("node", ["br0"], shared_setup="shared.sh")
    assert isinstance(node, dict)
    node["libvirt"]["libvirt_type"]["cloud_image"]["context"] = "data"
    return spec_of(node)


@pytest.fixture(name="context")
def _context(scaling: Rehearsal) -> Path:
    """The one file of the context that goes into the golden image."""
    file = scaling.project.files / "data" / "one.txt"
    file.parent.mkdir()
    file.write_text("A")
    scaling.build(with_context())
    return file


def test_context_that_is_edited_and_edited_back_does_not_get_in_between(
    scaling: Rehearsal, context: Path
) -> None:
    context.write_text("B")
    refused = scaling.up().of(Kind.GENERATE_ARTEFACTS)["node"]
    context.write_text("A")

    assert refused.status is Status.FAILED
    assert "context data was edited after golden image node was" in refused.message
    assert "Start up again" in refused.hint
    assert not (scaling.project.artefacts / "node-seed.iso").exists()
    assert scaling.up().of(Kind.PREPARE_GOLDENS)["node"].status is Status.DONE


def test_context_that_is_edited_when_it_is_in_the_seed_makes_another_image_later(
    scaling: Rehearsal, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = golden.wait_until_reachable

    def edit(*of: object) -> object:
        context.write_text("B")
        return wait(*of)

    monkeypatch.setattr(golden, "wait_until_reachable", edit)
    made = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]
    of_a = image_of(scaling)
    scaling.build(with_context())

    assert made.status is Status.DONE
    assert image_of(scaling).golden != of_a.golden


def test_clone_of_an_image_that_was_prepared_again_is_not_used(
    scaling: Rehearsal,
) -> None:
    scaling.up()
    scaling.down()
    identity = image_of(scaling).identity
    scaling.project.mark("node-0", disk=f"{identity} 0123456789abcdef")

    refused = scaling.up().of(Kind.CREATE_CLONES)
    made = scaling.up(provision=True)

    assert refused["node-0"].status is Status.FAILED
    assert "golden image node was lost and prepared again" in refused["node-0"].message
    assert refused["node-1"].status is Status.UNCHANGED
    assert made.failed() == {}
    assert scaling.state.guest("node-0").markers.disk == identity


def test_clone_with_a_broken_chain_is_not_started(scaling: Rehearsal) -> None:
    said = {"exit_code": 1, "stderr": "Could not open '/srv/images/golden-x.qcow2'"}
    words = "qemu-img info --force-share --backing-chain"
    scaling.break_("host-b", {words: said})

    started = scaling.up().of(Kind.START_GUESTS)

    assert started["node-0"].status is Status.DONE
    assert started["node-1"].status is Status.FAILED
    assert "golden-x.qcow2" in started["node-1"].detail


def test_clone_over_another_file_is_not_started(scaling: Rehearsal) -> None:
    guest = scaling.state.guest("node-1")
    host = scaling.hosts.open(scaling.state.host("host-b"))
    words = ("qemu-img", "create", "-f", "qcow2", "-b", "/srv/other", guest.disk)
    host.transport.run(command(*words), scope=Scope())

    started = scaling.up().of(Kind.START_GUESTS)

    assert started["node-1"].status is Status.FAILED
    assert "lies over /srv/other" in started["node-1"].detail
    assert started["node-2"].status is Status.DONE


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img not installed")
class TestRealFiles:
    """A deep copy needs no guest: the store with real files."""

    def test_copy_is_made_once_whole_and_kept_from_changes(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)

        assert prepare_goldens(task).message == "copied"
        assert prepare_goldens(task).status is Status.UNCHANGED

        found = qemu_img.info(task.host.transport, str(image), scope=Scope())
        assert (found.format, found.backing) == ("qcow2", "")
        assert image.stat().st_mode & 0o777 == 0o444
        assert read_stamp(image) is not None
        files = {path.name for path in image.parent.iterdir()}
        lock = f".{image.name}.golden.lock"
        assert files == {image.name, f"{image.name}.verified", lock}

    def test_image_that_somebody_changed_is_refused(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        before = image.stat()
        image.chmod(0o644)
        with image.open("r+b") as file:
            file.write(b"x")
        # As long as before, in the same second.
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns ^ 1))

        with pytest.raises(ImageFailed, match="was changed after it was prepared"):
            prepare_goldens(task)

    def test_image_that_was_brought_back_is_used_when_it_is_the_same(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        stamp = read_stamp(image)
        shutil.copy(image, tmp_path / "backup")
        shutil.move(tmp_path / "backup", image)
        assert read_stamp(image) is None

        assert prepare_goldens(task).status is Status.UNCHANGED

        again = read_stamp(image)
        assert stamp is not None
        assert again is not None
        assert again.digest == stamp.digest
        assert image.stat().st_mode & 0o777 == 0o444

    @pytest.mark.parametrize("left", [None, ""])
    def test_image_whose_worker_died_before_the_stamp_is_ready(
        self,
        make_task: MakeTask,
        rehearsal: Rehearsal,
        tmp_path: Path,
        left: str | None,
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        stamp = read_stamp(image)
        Path(stamp_name(str(image))).unlink()
        if left is not None:
            Path(stamp_name(str(image))).write_text(left)

        assert prepare_goldens(task).status is Status.UNCHANGED

        assert read_stamp(image) == stamp

    def test_image_that_somebody_deleted_is_made_again(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        image.unlink()
        Path(stamp_name(str(image))).write_text("sha256:00 1 1\n")

        assert prepare_goldens(task).message == "copied"
        assert prepare_goldens(task).status is Status.UNCHANGED

    def test_disk_remembers_the_content_that_it_lies_over(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        clone = rehearsal.state.guest("node-0")
        here = clone.image.model_copy(update={"main_path": str(image)})
        clone = clone.model_copy(update={"image": here})
        assert made_from(task, clone) == here.identity

        prepare_goldens(task)

        stamp = read_stamp(image)
        assert stamp is not None
        assert made_from(task, clone) == f"{here.identity} {stamp.digest.value[:16]}"

    def test_cancelled_copy_leaves_no_file(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        task = replace(task, sink=lambda event: task.scope.cancel())

        with pytest.raises(Cancelled):
            prepare_goldens(task)

        names = [path.name for path in image.parent.iterdir()]
        assert names == [f".{image.name}.golden.lock"]

    def test_image_whose_digesting_is_cancelled_is_whole_and_ready(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)

        def cancel(event: Event) -> None:
            if isinstance(event, TaskProgressed) and event.note == "verify":
                task.scope.cancel()

        with pytest.raises(Cancelled):
            prepare_goldens(replace(task, sink=cancel))

        again = replace(task, scope=Scope("demo.r2.b1.t1"))
        assert prepare_goldens(again).status is Status.UNCHANGED
        assert read_stamp(image) is not None
        qemu_img.check(task.host.transport, str(image), scope=Scope())

    def task(
        self, make_task: MakeTask, rehearsal: Rehearsal, folder: Path
    ) -> tuple[Task, Path]:
        original, store = folder / "own.qcow2", folder / "store"
        store.mkdir()
        create = command("qemu-img", "create", "-q", "-f", "qcow2", str(original), "4M")
        LocalTransport().run(create, scope=Scope())
        node = scaled("node", ["br0"])
        assert isinstance(node, dict)
        disk = {"path": "own.qcow2", "create_deep_copy": True}
        node["libvirt"]["libvirt_type"] = {"existing_disk": disk}
        rehearsal.build(spec_of(node), files={"own.qcow2": DiskFile(str(original))})
        state = rehearsal.state
        (found,) = state.goldens
        image = store / Path(found.image.path).name
        mine = found.model_copy(
            update={"image": found.image.model_copy(update={"path": str(image)})}
        )
        assert isinstance(mine, GoldenState)
        task = make_task("node")
        real = task.host.state.model_copy(update={"kind": HostKind.REAL})
        return replace(
            task,
            state=state.model_copy(update={"goldens": (mine,)}),
            host=Host(real, LocalTransport(), task.host.libvirt),
            scope=Scope("demo.r1.b1.t1"),
        ), image
