"""The full sizes of guests' disks: by their images, and by what the YAML adds."""

from orchestration.state.disk_sizes import GIB, disk_bytes
from orchestration.state.model import HostKind, State
from orchestration.state.model.images import ImageState
from tests.orchestration.state.samples import build, machine, spec_of, workers
from tests.orchestration.state.test_disk_bases import existing, with_disk


def two_gib(image: ImageState) -> int:
    return 2 * GIB


def cloud(name: str, gib: int) -> object:
    image = {"name": "ubuntu_22_04", "expand_gigabytes": gib}
    return with_disk(name, "br0", cloud_image=image)


def test_each_disk_counts_as_its_image_and_its_extension() -> None:
    iso = {"path": "disks/own.img", "expand_gigabytes": 7}
    state = build(
        spec_of(
            cloud("web", 10),
            with_disk("blank", "br0", iso_guest=iso),
            existing("copied", "br0", create_deep_copy=True),
            existing("disc", "br0", device_type="cdrom"),
        )
    )

    assert disk_bytes(state, two_gib) == {
        "web": 12 * GIB,
        "blank": 7 * GIB,
        "copied": 2 * GIB,
        "disc": 0,
    }


def test_clone_counts_as_the_machine_that_its_golden_image_was_made_of() -> None:
    state: State = build(workers(2, shared_setup="s.sh"))

    sizes = disk_bytes(state, lambda i: 0 if i.golden else 2 * GIB)

    assert set(sizes.values()) == {2 * GIB}


def test_simulated_host_has_no_disks() -> None:
    state = build(spec_of(machine("web", "br0")))
    hosts = tuple(
        host.model_copy(update={"kind": HostKind.SIMULATED}) for host in state.hosts
    )

    sizes = disk_bytes(state.model_copy(update={"hosts": hosts}), two_gib)

    assert sizes == {"web": 0}
