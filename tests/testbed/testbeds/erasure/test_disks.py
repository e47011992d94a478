"""The disks that go: those of a record, and those that were seen where a folder goes."""

import pytest
from django.utils import timezone

from orchestration.plan.model import Options
from testbed.models import Host, Inventory, Testbed
from testbed.testbeds.erasure.disks import (
    all_disks,
    erased_by_clear,
    erased_by_recreating,
    erased_by_up,
)


@pytest.fixture
def lab(generated: Testbed) -> Testbed:
    """The testbed, down, with a disk of web on main and one on host-b of no record."""
    generated.project.mark("web", disk="ubuntu_22_04 of today")
    now = timezone.now()
    for name, disks in (
        ("main", {"web-disk.qcow2": 4096}),
        ("host-b", {"old-disk.qcow2": 8192}),
    ):
        host = Host.objects.get(name=name)
        Inventory.objects.create(host=host, disks={"lab": disks}, looked_at=now)
    return generated


def shown(losses: object) -> list[tuple[str, str, int | None]]:
    return [(loss.name, loss.host, loss.size_bytes) for loss in losses]


def test_up_without_an_edit_erases_nothing(lab: Testbed) -> None:
    assert erased_by_up(lab, Options()).losses == ()


def test_up_with_new_disks_erases_those_of_a_record(lab: Testbed) -> None:
    found = erased_by_up(lab, Options(provision=True))

    assert shown(found.losses) == [("web", "main", 4096)]
    assert found.seen_at is not None
    assert found.must_type == "lab"


def test_draft_has_nothing_to_lose(testbed: Testbed) -> None:
    assert erased_by_up(testbed, Options(provision=True)).losses == ()
    assert erased_by_clear(testbed).losses == ()


def test_clearing_erases_what_was_seen_in_the_folders_too(lab: Testbed) -> None:
    found = erased_by_clear(lab)

    assert shown(found.losses) == [("web", "main", 4096), ("old", "host-b", 8192)]
    assert found.size_bytes == 12288


@pytest.mark.parametrize(
    ("names", "typed"), [(("web",), "web"), (("web", "db"), "lab"), (("db",), "")]
)
def test_recreating_asks_for_the_guest_or_the_testbed(
    lab: Testbed, names: tuple[str, ...], typed: str
) -> None:
    found = erased_by_recreating(lab, names)

    assert found.must_type == typed
    assert found.guests == {"web"} & set(names)


def test_disks_of_a_broken_state_are_those_that_were_seen(lab: Testbed) -> None:
    lab.project.state_file.write_text("{")

    losses, _ = all_disks(lab)

    assert {loss.name for loss in losses} == {"web", "old"}


def test_seen_disk_of_another_testbed_does_not_count(lab: Testbed) -> None:
    Inventory.objects.update(disks={"other": {"web-disk.qcow2": 1}})

    assert shown(all_disks(lab)[0]) == [("web", "main", None)]
