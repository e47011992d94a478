"""Images of two hosts: who uses which, and what may go when, with real files."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Self

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestration.errors import HostUnreachable
from orchestration.hosts import Host
from orchestration.image_stores import Store
from orchestration.instructions.base import Command, Options
from orchestration.providers import image_files
from orchestration.providers.contents import DIGESTS
from orchestration.state.model import State
from orchestration.transport.base import Scope
from testbed.celery import app
from testbed.management.commands import prune_images
from testbed.models import Host as HostRow
from testbed.models import ImageStore, Testbed
from testbed.services.planning import prepare
from testbed.tasks import images as images_task
from testbed.tasks.images import OBSERVE_IMAGES, Images, look_at_images, save
from tests.orchestration.stores import GOLDEN, qcow2
from tests.testbed.conftest import YAML, Doors
from tests.testbed.image_hosts import Machines, stand_in

OTHER_GOLDEN = "golden-fedcba9876543210.qcow2"


class OneByOne:
    """Stands in for a pool of threads."""

    def __init__(self, workers: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    map = staticmethod(map)


@pytest.fixture
def machines(
    db: None, settings: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machines]:
    machines = Machines(tmp_path)
    machines.add_rows(settings)
    settings.RUNTIME_DIR = tmp_path / "runtime"
    stand_in(machines, monkeypatch)
    monkeypatch.setattr(prune_images, "kept_hosts", lambda: machines)
    yield machines
    machines.close()


@pytest.fixture
def lab(machines: Machines, owner: User) -> Testbed:
    """A testbed with a guest on each host, and nothing generated."""
    found = Testbed.objects.create(owner=owner, slug="lab", number=7)
    found.project.create()
    found.project.yaml.write_text(YAML)
    return found


@pytest.fixture
def state(lab: Testbed, machines: Machines) -> State:
    """The testbed's state; its image is on both hosts."""
    found = prepare(lab, Command.GENERATE_ARTEFACTS, Options())[0]
    machines.main.put(name_of(found))
    machines.other.linked(name_of(found), "sha256-00")
    return found


def name_of(state: State) -> str:
    return Path(state.guests[0].image.main_path).name


def prune(machines: Machines, *hosts: str) -> dict[str, set[str]]:
    """Delete all that may go; return what went, by host."""
    images = Images(machines)
    seen = images.look(hosts)
    for found in seen:
        images.prune(found, lambda *_: True)
    return {found.host.name: {i.name for i in found.removed} for found in seen}


def command(*words: str) -> str:
    out = StringIO()
    call_command("prune_images", *words, stdout=out)
    return out.getvalue()


def test_image_of_a_testbed_that_is_down_stays_and_an_unused_one_goes_everywhere(
    machines: Machines, state: State
) -> None:
    machines.main.put(GOLDEN)
    machines.main.put(f"{GOLDEN}.verified")
    machines.other.linked(GOLDEN, "sha256-aa")

    assert prune(machines) == {"main": {GOLDEN}, "host-b": {GOLDEN}}

    name = name_of(state)
    assert machines.main.names() == {name}
    assert machines.other.names() == {name, ".store/sha256-00"}
    assert prune(machines) == {"main": set(), "host-b": set()}


def test_image_below_an_orphans_disk_stays_on_its_host_and_on_main(
    machines: Machines,
) -> None:
    machines.main.put(GOLDEN)
    path = machines.other.linked(GOLDEN, "sha256-aa")
    machines.other.layer("web", str(path), testbed="ghost")

    assert prune(machines) == {"main": set(), "host-b": set()}


def test_image_that_is_used_on_main_only_goes_from_the_other_host(
    machines: Machines,
) -> None:
    path = machines.main.put(GOLDEN)
    machines.main.layer("web", str(path), testbed="ghost")
    machines.other.linked(GOLDEN, "sha256-aa")

    assert prune(machines) == {"main": set(), "host-b": {GOLDEN}}


def test_broken_state_keeps_every_image_and_is_named(
    machines: Machines, lab: Testbed, state: State
) -> None:
    machines.main.put(GOLDEN)
    machines.other.put(GOLDEN)
    lab.project.state_file.write_text("{")

    assert prune(machines) == {"main": set(), "host-b": set()}
    assert "the state of lab cannot be read" in command("--dry-run")


def test_broken_disk_of_a_user_keeps_no_image(machines: Machines) -> None:
    for folder in (machines.main, machines.other):
        folder.put(GOLDEN)
        disk = folder.layer("web", f"{folder.images}/{GOLDEN}", testbed="ghost")
        disk.write_bytes(qcow2(f"{folder.images}/{GOLDEN}", offset=1 << 16))

    assert prune(machines) == {"main": {GOLDEN}, "host-b": {GOLDEN}}


def test_unreadable_disk_keeps_all_there_and_on_main_and_is_named(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (machines.main, machines.other):
        folder.put(GOLDEN)
    disk = machines.other.layer("web", "x", testbed="lab")
    error = f"head: error reading '{disk}': Input/output error"
    say = f'[ "$1" != {machines.other.images} ] || echo "{error}" >&2\n'
    monkeypatch.setattr(image_files, "_LOOK", say + image_files._LOOK)

    assert prune(machines) == {"main": set(), "host-b": set()}

    said = f"{disk} of testbed lab may lie over any image (Input/output error)"
    main, other = command("--dry-run").split("\nhost-b:")
    assert f"unknown: host-b: {said}" in main
    assert f"unknown: {said}" in other


def test_what_may_exist_besides_the_state_counts(
    machines: Machines, lab: Testbed, state: State
) -> None:
    (guest, other) = state.guests
    image = guest.image.model_copy(
        update={"path": f"/x/{GOLDEN}", "main_path": f"/x/{GOLDEN}"}
    )
    deployed = (guest.model_copy(update={"image": image, "name": "gone"}), other)
    lab.project.write_change(state.model_copy(update={"guests": deployed}), state)
    machines.main.put(GOLDEN)

    assert prune(machines)["main"] == set()


def test_silent_host_keeps_its_images_and_mains_and_fails_the_command(
    machines: Machines, state: State
) -> None:
    machines.main.put(GOLDEN)
    machines.other.put(GOLDEN)
    machines.dead = {"host-b"}

    with pytest.raises(CommandError, match="host-b"):
        command("--yes")

    assert GOLDEN in machines.main.names() & machines.other.names()


def test_other_hosts_can_be_pruned_while_one_is_silent(
    machines: Machines, state: State
) -> None:
    machines.other.put(GOLDEN)
    machines.dead = {"main"}

    assert "removed" in command("--yes", "--host", "host-b")
    assert GOLDEN not in machines.other.names()


def test_host_that_falls_silent_in_the_middle_is_reported(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    machines.other.put(OTHER_GOLDEN)
    asked = []

    def fail(host, image, **more):
        asked.append(image.name)
        raise HostUnreachable("It went away.")

    monkeypatch.setattr(images_task, "remove_image", fail)

    with pytest.raises(CommandError, match="host-b"):
        command("--yes")

    assert len(asked) == 1


def test_run_that_begins_after_the_look_keeps_its_images(
    machines: Machines, lab: Testbed, doors: Doors
) -> None:
    planned = prepare(lab, Command.GENERATE_ARTEFACTS, Options())[0]
    name = name_of(planned)
    lab.project.clear()
    machines.main.put(name)
    machines.other.put(name)
    images = Images(machines)
    seen = images.look()
    assert all(found.unused for found in seen)
    lab.project.write_state(planned)

    for found in seen:
        images.prune(found, lambda *_: True)

    assert [found.outcomes for found in seen] == [{name: "somebody uses it now"}] * 2
    assert name in machines.main.names() & machines.other.names()


def test_file_of_the_catalogue_stays_in_the_folder_of_images(
    machines: Machines, settings: object
) -> None:
    mine = "mine-0123456789abcdef.qcow2"
    machines.main.put(mine)
    entry = {"name": "mine", "path": mine, "format": "qcow2"}
    settings.LOCAL_CATALOGUE.write_text(json.dumps(entry))
    machines.other.put(mine)

    assert prune(machines) == {"main": set(), "host-b": {mine}}


def test_catalogue_that_cannot_be_read_keeps_mains_images(
    machines: Machines, settings: object
) -> None:
    machines.main.put(GOLDEN)
    settings.LOCAL_CATALOGUE.write_text("{")

    assert prune(machines)["main"] == set()


def test_sweep_of_main_forgets_old_digests_of_users_disks(machines: Machines) -> None:
    machines.main.put(f"{DIGESTS}/{'0' * 32}", days=31)
    machines.main.put(f"{DIGESTS}/{'1' * 32}", days=29)
    images = Images(machines)

    for found in images.look():
        images.sweep(found)

    assert machines.main.names() == {f"{DIGESTS}/{'1' * 32}"}


def test_files_of_others_in_the_folder_stay(machines: Machines) -> None:
    for name in ("debian.qcow2", "notes.txt", "sub/golden-0123456789abcdef.qcow2"):
        machines.main.put(name)

    assert prune(machines)["main"] == set()
    assert len(machines.main.names()) == 3


def test_dry_run_says_what_would_go_and_deletes_nothing(
    machines: Machines, state: State
) -> None:
    machines.other.put(GOLDEN, content=bytes(1 << 20))

    said = command("--dry-run")

    assert GOLDEN in machines.other.names()
    (line,) = (line for line in said.splitlines() if GOLDEN in line)
    assert "nobody" in line
    assert "would go" in line
    assert "1.0 MiB would be freed" in said
    assert "lab (1)" in said
    assert "downloaded again" in said


def test_only_images_that_were_not_used_for_long_go_when_asked_so(
    machines: Machines,
) -> None:
    machines.other.put(GOLDEN, days=30)

    # It was put there just now, whatever its content's age.
    assert "removed" not in command("--yes", "--older-than", "1")
    assert "removed" in command("--yes", "--older-than", "0")


def test_command_deletes_nothing_unless_it_is_told(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    monkeypatch.setattr("sys.stdin", StringIO(""))

    with pytest.raises(CommandError, match="--yes"):
        command()

    assert GOLDEN in machines.other.names()


def test_unknown_host_is_refused(machines: Machines) -> None:
    with pytest.raises(CommandError, match="no host nowhere"):
        command("--host", "nowhere")


def test_json_has_every_image_with_its_users_and_outcome(
    machines: Machines, state: State
) -> None:
    machines.other.linked(GOLDEN, "sha256-aa")

    said = json.loads(command("--yes", "--json"))

    main, other = said["hosts"]
    assert {i["name"]: i["used_by"] for i in main["images"]} == {
        name_of(state): [["lab", "db"], ["lab", "web"]]
    }
    outcomes = {i["name"]: i["outcome"] for i in other["images"]}
    assert outcomes == {name_of(state): "", GOLDEN: "removed"}
    assert other["freed_bytes"] > 0


def test_look_is_kept_with_users_and_reasons(machines: Machines, state: State) -> None:
    machines.other.put(GOLDEN)

    look_at_images(machines)

    row = ImageStore.objects.get(host__name="host-b")
    found = {image["name"]: image for image in row.images}
    assert found[name_of(state)]["testbeds"] == {"lab": 1}
    assert found[GOLDEN]["testbeds"] == {}
    assert row.looked_at == row.seen_at
    assert row.total_bytes > row.free_bytes > 0


def test_silent_host_keeps_what_was_seen_with_the_reason(
    machines: Machines, state: State
) -> None:
    look_at_images(machines)
    machines.dead = {"host-b"}

    look_at_images(machines)

    row = ImageStore.objects.get(host__name="host-b")
    assert "does not answer" in row.problem
    assert [image["name"] for image in row.images] == [name_of(state)]
    assert row.looked_at > row.seen_at


def test_host_that_is_removed_during_a_look_does_not_cost_the_others_theirs(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    real = images_task.look

    def look(host: Host, **more: Scope) -> Store:
        seen = real(host, **more)
        HostRow.objects.filter(name="main").delete()
        return seen

    # One after the other: the rows belong to the connection of this thread.
    monkeypatch.setattr(images_task, "ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr(images_task, "look", look)

    look_at_images(machines)

    assert [row.host.name for row in ImageStore.objects.all()] == ["host-b"]


def test_look_that_began_earlier_and_ends_later_is_not_kept(machines: Machines) -> None:
    began = timezone.now()
    earlier = Images(machines).look()
    machines.other.put(GOLDEN)
    look_at_images(machines)

    for found in earlier:
        save(found, began)

    row = ImageStore.objects.get(host__name="host-b")
    assert [image["name"] for image in row.images] == [GOLDEN]
    assert row.looked_at > began


def test_worker_knows_the_task_that_pages_and_beat_ask_for(settings: object) -> None:
    assert OBSERVE_IMAGES in app.tasks
    assert OBSERVE_IMAGES in {
        entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()
    }


@pytest.mark.parametrize(("answer", "is_left"), [("y", False), ("no", True)])
def test_command_asks_on_a_terminal(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, answer: str, is_left: bool
) -> None:
    machines.other.put(GOLDEN)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)

    said = command()

    assert "would go" in said
    assert (GOLDEN in machines.other.names()) is is_left


def test_command_looks_again_after_the_answer(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = machines.other.put(GOLDEN)

    def answer(question: str) -> str:
        machines.other.layer("web", str(path), testbed="ghost")
        machines.other.put(OTHER_GOLDEN)
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)

    command()

    # One has a user now, and nobody was asked about the other.
    assert machines.other.names() == {GOLDEN, OTHER_GOLDEN}
