"""Which things are orphans, and where that is said.

Nothing is one while a run is on, before a look that began after the last run, or where
a state cannot be read: a list that is too long would delete what is used.
"""

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.state.model import State
from testbed.hosts.observation import observe_all
from testbed.models import Host, Inventory, Run, Testbed
from testbed.orphans.listing import counts, orphan_groups
from testbed.testbeds.files import create_testbed
from tests.testbed.deployment import on
from tests.testbed.orphans.listing import MAIN, OTHER, listed, lose


def test_testbed_that_is_there_has_no_orphans(state: State) -> None:
    assert listed() == {}


def test_everything_of_a_testbed_without_a_row_is_an_orphan(
    testbed: Testbed, state: State
) -> None:
    lose(testbed)

    assert listed() == {"lab": {"main": MAIN, "host-b": OTHER}}


def test_thing_missing_in_the_state_is_an_orphan_of_its_testbed(
    testbed: Testbed, state: State, kept: Hosts
) -> None:
    on(kept, state, "host-b", "ovs-vsctl -- add-br t7-old")
    tag = "ovs-vsctl -- set Bridge t7-old external_ids:testbed=lab"
    on(kept, state, "host-b", tag)
    observe_all(kept)

    (group,) = orphan_groups()

    assert group.testbed == testbed
    assert [o.thing.name for o in group.orphans] == ["t7-old"]


@pytest.mark.parametrize("status", [Run.Status.PENDING, Run.Status.RUNNING])
def test_testbed_with_a_run_on_has_no_orphans(
    testbed: Testbed, state: State, owner: User, status: str
) -> None:
    testbed.project.clear()
    assert listed()
    Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status=status
    )

    assert listed() == {}


def test_look_that_began_before_a_run_ended_names_no_orphans(
    testbed: Testbed, state: State, owner: User
) -> None:
    testbed.project.clear()
    run = Run.objects.create(
        testbed=testbed, command="down", plan={}, asked_by=owner, status="succeeded"
    )
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now())

    assert listed() == {}


def test_cleared_testbed_keeps_its_folder_on_main(
    testbed: Testbed, state: State
) -> None:
    testbed.project.clear()

    assert listed() == {"lab": {"main": MAIN - {"folder"}, "host-b": OTHER}}


def test_broken_state_makes_nothing_an_orphan(testbed: Testbed, state: State) -> None:
    testbed.project.state_file.write_text("{")

    assert listed() == {}


def test_device_of_an_unknown_number_is_listed_by_it(state: State, kept: Hosts) -> None:
    on(kept, state, "main", "ip link add t9vn type veth peer name t9vb")
    observe_all(kept)

    assert listed() == {"number 9": {"main": {"link"}}}


def test_new_testbed_gets_neither_the_folder_nor_the_number_of_a_lost_one(
    testbed: Testbed, state: State, stranger: User
) -> None:
    for number in range(7):
        Testbed.objects.create(owner=stranger, slug=f"t{number}", number=number)
    lose(testbed)

    other = create_testbed(stranger, "other", {"kvm-compose.yaml": b"machines: []"})
    assert other.number == 8
    assert other.directory != testbed.directory
    assert not Testbed.objects.filter(slug="lab").exists()
    assert testbed.project.has_state()


def test_counts_name_the_host_the_testbed_and_the_first_things(
    testbed: Testbed, state: State
) -> None:
    assert counts() == []
    lose(testbed)

    lines = counts()

    assert [line.split(":")[0] for line in lines] == ["host-b", "main"]
    assert all("orphans of lab: " in line for line in lines)
    assert lines[1].endswith("more")


def said(*words: str) -> list[str]:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().splitlines()


def test_commands_name_the_orphans(testbed: Testbed, state: State) -> None:
    assert said("check_hosts") == ["main: online", "host-b: online"]
    assert said("recover") == ["Nothing had to be repaired."]
    lose(testbed)

    checked, recovered = said("check_hosts"), said("recover")

    assert [line.partition(": domain")[0] for line in checked] == [
        "main: online",
        "main: orphans of lab",
        "host-b: online",
        "host-b: orphans of lab",
    ]
    assert [line for line in recovered if "orphans of lab" in line] == counts()


def test_inventory_goes_with_its_host(state: State) -> None:
    Host.objects.filter(name="host-b").delete()

    assert [row.host.name for row in Inventory.objects.all()] == ["main"]
