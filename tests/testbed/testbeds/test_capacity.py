"""The shares of other testbeds' guests in the hosts, for placement and for the page."""

from importlib import import_module

import pytest
from django.apps import apps

from orchestration.plan.model import Command, Options
from orchestration.state.diff.changes import HostNeed
from orchestration.state.placement import Taken
from testbed.models import Run, Testbed
from testbed.pages.changes import rooms
from testbed.runs.creation import create_run
from testbed.testbeds.capacity import counted, taken_by_others
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare

BALANCED = YAML + "testbed_options: {load_balancing: Balanced}\n"
ONE_GUEST = {"main": Taken(1, 256), "host-b": Taken(1, 256)}


@pytest.fixture
def second(owner, testbed):
    found = Testbed.objects.create(owner=owner, slug="second", number=8)
    found.project.create()
    found.project.yaml.write_text(BALANCED)
    return found


def deploy(testbed):
    prepare(testbed, Command.UP, Options())
    Testbed.objects.filter(pk=testbed.pk).update(condition=Testbed.Condition.UP)


def test_testbeds_that_are_up_take_what_their_guests_need(testbed, second):
    deploy(testbed)

    assert taken_by_others(second) == ONE_GUEST
    assert taken_by_others(testbed) == {}


def test_testbed_that_is_down_takes_nothing_and_one_that_comes_up_does(
    testbed, second, owner
):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    assert taken_by_others(second) == {}

    create_run(testbed, owner, Command.UP)

    assert taken_by_others(second) == ONE_GUEST


def test_testbed_that_is_up_counts_also_when_its_state_cannot_be_read(testbed, second):
    deploy(testbed)
    testbed.project.state_file.write_text("{")

    assert taken_by_others(second) == ONE_GUEST


def test_migration_counts_what_the_folders_say(testbed, second, owner):
    deploy(testbed)
    testbed.project.mark("web", disk="made")
    Testbed.objects.update(started=[])
    prepare(second, Command.GENERATE_ARTEFACTS, Options())
    waits = {"asked_by": owner, "status": "waiting", "plan": {}, "command": "up"}
    Run.objects.create(testbed=second, **waits)
    draft = Testbed.objects.create(owner=owner, slug="draft", number=9)
    lost = Run.objects.create(testbed=draft, **waits)

    import_module("testbed.migrations.0039_planned_starts").read_folders(apps, None)

    by_testbed = {one.testbed: one for one in counted()}
    held, waiting = by_testbed[testbed.pk].held, by_testbed[second.pk].wanted
    assert [(one.name, one.need) for one in held] == [("web", Taken(1, 256))]
    assert len(waiting) == 2
    lost.refresh_from_db()
    assert lost.message == "It did not begin: the state of its testbed cannot be read."
    assert lost.status == "failed"


def test_number_of_queries_does_not_grow_with_the_testbeds(
    testbed, owner, django_assert_num_queries
):
    for number in range(20, 60):
        one = Testbed(owner=owner, slug=f"t{number}", number=number, condition="up")
        one.started = [("web", "main", 1, 256)]
        one.save()

    with django_assert_num_queries(2):
        assert len(counted()) == 40


def test_balanced_guests_go_where_other_testbeds_leave_room(testbed, second, hosts):
    text = testbed.project.yaml.read_text()
    testbed.project.yaml.write_text(text.replace("bridge: far", "bridge: lan"))
    deploy(testbed)

    state, _ = prepare(second, Command.UP, Options())

    assert {g.host for g in testbed.project.read_state().guests} == {"main"}
    assert {guest.host for guest in state.guests} == {"host-b"}


def test_rooms_say_what_is_free_before_and_after():
    needs = [
        HostNeed("main", 256, 512, 4096, 1, 3, 4),
        HostNeed("new", 0, 256, 0, 0, 1, 0),
    ]

    main, new = rooms(needs, {"main": Taken(2, 1024)})

    assert main.memory == "1.5 GiB of 4 GiB assigned (now 1.2 GiB)"
    assert main.cpus == "5 of 4 assigned, 1 more than it has (now 3)"
    assert new.memory == "256 MiB assigned (now 0 B)"
    assert new.cpus == "1 assigned (now 0)"


def test_host_of_which_more_is_promised_than_it_has_is_said_to_have_too_few():
    needs = [HostNeed("main", 0, 0, 0, 1, 3, 4), HostNeed("main", 0, 0, 0, 3, 0, 4)]

    more, fewer = rooms(needs, {"main": Taken(cpus=4)})

    assert more.cpus == "7 of 4 assigned, 3 more than it has (now 5)"
    assert fewer.cpus == "4 of 4 assigned (now 7)"


def test_page_of_an_edit_tells_what_is_free_after_it(testbed, second, client, owner):
    deploy(second)
    deploy(testbed)
    text = testbed.project.yaml.read_text()
    testbed.project.yaml.write_text(text.replace("memory_mb: 256", "memory_mb: 512", 1))
    client.force_login(owner)

    shown = client.get("/testbeds/olive/lab/").content.decode()

    assert "<b>main</b>: memory 768 MiB of 16 GiB assigned (now 512 MiB)" in shown
