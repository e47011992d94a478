"""Users of an image, and therefore the images that stay when the others go.

States count, disks of orphans, what a change has not yet removed, and the catalogue;
where one of them cannot be read, everything stays that it may use.
"""

import json

from orchestration.plan.model import Command, Options
from orchestration.state.model import State
from testbed.images.pruning import Images
from testbed.models import Testbed
from tests.orchestration.stores import GOLDEN, qcow2
from tests.testbed.conftest import Doors
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.pruning import command, name_of, prune
from tests.testbed.preparing import prepare


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
    assert "the state of olive/lab cannot be read" in command("--dry-run")


def test_broken_disk_of_a_user_keeps_no_image(machines: Machines) -> None:
    for folder in (machines.main, machines.other):
        folder.put(GOLDEN)
        disk = folder.layer("web", f"{folder.images}/{GOLDEN}", testbed="ghost")
        disk.write_bytes(qcow2(f"{folder.images}/{GOLDEN}", offset=1 << 16))

    assert prune(machines) == {"main": {GOLDEN}, "host-b": {GOLDEN}}


def test_unreadable_disk_keeps_all_there_and_on_main_and_is_named(
    machines: Machines,
) -> None:
    for folder in (machines.main, machines.other):
        folder.put(GOLDEN)
    disk = machines.other.layer("web", "x", testbed="lab")
    error = f"head: error reading '{disk}': Input/output error"
    machines.read_errors["host-b"] = error

    assert prune(machines) == {"main": set(), "host-b": set()}

    said = f"{disk} of testbed lab may lie over any image (Input/output error)"
    main, other, *_ = command("--dry-run").splitlines()
    assert main.startswith(f"main: images that may be in use stay: host-b: {said}")
    assert other.startswith(f"host-b: images that may be in use stay: {said}")


def test_things_that_may_exist_besides_the_state_count(
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


def test_run_that_begins_after_the_look_keeps_its_images(
    machines: Machines, lab: Testbed, doors: Doors
) -> None:
    planned = prepare(lab, Command.GENERATE_ARTEFACTS, Options())[0]
    name = name_of(planned)
    lab.project.clear()
    machines.main.put(name)
    machines.other.put(name)
    images = Images(machines)
    seen = images.observe()
    assert all(found.unused for found in seen)
    lab.project.write_state(planned)

    for found in seen:
        images.prune(found, lambda *_: True)

    assert [found.outcomes for found in seen] == [{name: "it is in use now"}] * 2
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


def test_files_of_others_in_the_folder_stay(machines: Machines) -> None:
    for name in ("debian.qcow2", "notes.txt", "sub/golden-0123456789abcdef.qcow2"):
        machines.main.put(name)

    assert prune(machines)["main"] == set()
    assert len(machines.main.names()) == 3
