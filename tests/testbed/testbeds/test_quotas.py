"""Guests, vCPUs and memory stay within the quota of the account that is charged."""

import threading

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from orchestration.plan.model import Command, Kind, Options
from orchestration.plan.selected import WAYS, Mode
from testbed.access.limits import LimitReached, Use
from testbed.models import Allowance, GroupAllowance, Host, Run, Task, Testbed
from testbed.pages.needs import needs_of_up
from testbed.runs import dispatch
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_guest_up, create_run
from testbed.runs.outcome import finish_run
from testbed.sharing.transfer import transfer
from testbed.testbeds.capacity import needs_in, set_started
from testbed.testbeds.planning import wanted_needs
from testbed.testbeds.quotas import HostTooSmall, used_by
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.testbeds.planning.edits import edit

UP = Testbed.Condition.UP
CLONES = """\
machines:
  - name: node
    interfaces: [{bridge: lan}]
    libvirt:
      cpus: 3
      memory_mb: 512
      libvirt_type:
        cloud_image: {name: ubuntu_22_04}
      scaling:
        count: 3
        interfaces: [{bridge: lan, clones: [0, 1, 2]}]
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""


@pytest.fixture(autouse=True)
def own_tables(transactional_db: None) -> None:
    """Threads see what the test committed."""


def up(testbed):
    """Bring a testbed up as far as rows and files tell."""
    state, _ = prepare(testbed, Command.UP, Options())
    for guest in state.guests:
        testbed.project.mark(guest.name, disk="made")
    testbed.condition = UP
    testbed.save()
    return state


def allow(owner, **limits):
    Allowance.objects.update_or_create(user=owner, defaults=limits)


def test_up_that_needs_more_than_is_left_is_refused_and_writes_nothing(
    testbed, make, owner, doors
):
    up(testbed)
    second = make("second", YAML.replace("cpus: 1", "cpus: 3"))
    allow(owner, vcpus=6, memory_gib=1)

    with pytest.raises(LimitReached) as refused:
        create_run(second, owner, Command.UP)

    assert refused.value.message == (
        "Up of olive/second needs 6 of 4 vCPUs left in the quota of olive."
    )
    assert "Stop other testbeds with Down" in refused.value.hint
    assert not second.project.has_state()
    assert not Run.objects.exists()


def test_each_part_of_a_quota_counts(testbed, owner):
    allow(owner, guests=1, vcpus=1, memory_gib=0)

    with pytest.raises(LimitReached) as refused:
        prepare(testbed, Command.UP, Options())

    assert refused.value.message == (
        "Up of olive/lab needs 2 of 1 guest and 2 of 1 vCPU and 512 MiB of 0 B of memory left "
        "in the quota of olive."
    )


@pytest.mark.parametrize("presses", ["member", "admin"])
def test_owner_is_charged_and_not_the_user_who_presses(
    request, testbed, owner, doors, presses
):
    user = request.getfixturevalue(presses)
    allow(user, guests=0)

    create_run(testbed, user, Command.UP)

    assert used_by(owner) == Use(2, 2, 512)
    assert used_by(user) == Use()


def test_up_is_charged_to_the_owner_that_the_testbed_has_by_then(
    testbed, owner, member, doors
):
    allow(member, vcpus=1)
    read_before = Testbed.objects.select_related("owner").get()
    transfer(testbed, member, owner, former_role="operator")

    with pytest.raises(LimitReached) as refused:
        create_run(read_before, owner, Command.UP)

    assert refused.value.message == (
        "Up of mark/lab needs 2 of 1 vCPU left in the quota of mark."
    )


def test_of_two_ups_at_once_one_passes(testbed, make, owner, doors):
    second = make("second")
    allow(owner, vcpus=3)
    barrier, refused = threading.Barrier(2), []

    def create(one):
        barrier.wait(timeout=30)
        try:
            create_run(one, owner, Command.UP)
        except LimitReached as exc:
            refused.append(exc)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=create, args=(one,)) for one in (testbed, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (Run.objects.count(), len(refused)) == (1, 1)


def test_testbed_counts_from_the_request_of_up_until_it_is_down(testbed, owner, doors):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    generated = used_by(owner)

    run = create_run(testbed, owner, Command.UP)
    coming_up = used_by(owner)
    request_cancel(run.pk, owner)
    cancelled = used_by(owner)
    up(testbed)
    is_up = used_by(owner)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    assert (generated, cancelled, used_by(owner)) == (Use(), Use(), Use())
    assert coming_up == is_up == Use(2, 2, 512)


def test_quota_below_the_use_stops_nothing_and_refuses_what_adds(testbed, make, owner):
    up(testbed)
    up(second := make("second"))
    allow(owner, vcpus=1)

    up(testbed)
    edit(second, "cpus: 1", "cpus: 2", 1)
    with pytest.raises(LimitReached) as refused:
        prepare(second, Command.UP, Options())

    assert refused.value.message == (
        "Up of olive/second needs 3 of 0 vCPUs left in the quota of olive."
    )
    assert "Its other testbeds use 2 of 1 vCPU: the quota was lowered." in (
        refused.value.hint
    )
    assert used_by(owner) == Use(4, 4, 1024)


def begin(run):
    """Send a run's instructions until one starts guests."""
    for instruction in run.instructions.order_by("index"):
        run.refresh_from_db()
        dispatch._start(run, instruction.index)
        if instruction.kind == Kind.START_GUESTS:
            return
    raise AssertionError("it starts no guests")


def test_disks_of_guests_that_were_stopped_give_no_right_to_start_them(
    testbed, make, owner, doors
):
    allow(owner, vcpus=10)
    edit(testbed, "cpus: 1", "cpus: 4")
    up(testbed)
    finish_run(create_run(testbed, owner, Command.DOWN).pk, Run.Status.SUCCEEDED)
    edit(testbed, "cpus: 4", "cpus: 1")
    testbed.refresh_from_db()

    run = create_run(testbed, owner, Command.UP)
    begin(run)
    Task.objects.filter(instruction__run=run).update(status="running")
    request_cancel(run.pk, owner)
    finish_run(run.pk, Run.Status.CANCELLED)
    up(make("second", YAML.replace("cpus: 1", "cpus: 4")))
    edit(testbed, "cpus: 1", "cpus: 4")
    testbed.refresh_from_db()

    assert testbed.condition == Testbed.Condition.PARTIAL
    assert testbed.project.has_unfinished_change()
    assert used_by(owner) == Use(4, 10, 1024)
    with pytest.raises(LimitReached, match="needs 8 of 2 vCPUs left"):
        create_run(testbed, owner, Command.UP)


def test_guests_that_run_count_until_an_up_that_makes_them_smaller_succeeds(
    testbed, owner, doors
):
    edit(testbed, "cpus: 1", "cpus: 4")
    up(testbed)
    edit(testbed, "cpus: 4", "cpus: 1")

    run = create_run(testbed, owner, Command.UP)
    begin(run)
    begun = used_by(owner).vcpus
    finish_run(run.pk, Run.Status.FAILED)
    failed = used_by(owner).vcpus
    again = create_run(testbed, owner, Command.UP)
    finish_run(again.pk, Run.Status.SUCCEEDED)

    assert (begun, failed, used_by(owner).vcpus) == (8, 8, 2)


def test_edit_that_was_cancelled_counts_as_an_addition_again(testbed, owner, doors):
    up(testbed)
    edit(testbed, "cpus: 1", "cpus: 4", 1)
    run = create_run(testbed, owner, Command.UP)
    request_cancel(run.pk, owner)
    testbed.refresh_from_db()
    allow(owner, vcpus=4)

    with pytest.raises(LimitReached, match="needs 5 of 4 vCPUs left"):
        create_run(testbed, owner, Command.UP)


def test_group_is_charged_for_the_testbeds_of_its_members(
    testbed, make, owner, member, doors
):
    group = Group.objects.create(name="course")
    GroupAllowance.objects.create(group=group, guests=3)
    group.user_set.add(owner, member)
    allow(owner, guests=0)
    Testbed.objects.update(charged_group=group)
    testbed.refresh_from_db()
    second = make("second", user=member, charged_group=group)

    up(testbed)
    with pytest.raises(LimitReached) as refused:
        create_run(second, member, Command.UP)

    assert refused.value.message == (
        "Up of mark/second needs 2 of 1 guest left in the quota of its group."
    )
    assert (used_by(group), used_by(owner)) == (Use(2, 2, 512), Use())


def test_group_without_an_allowance_may_have_nothing(testbed, owner):
    testbed.charged_group = Group.objects.create(name="course")
    owner.groups.add(testbed.charged_group)
    testbed.save()

    with pytest.raises(LimitReached, match="2 of 0 guests"):
        prepare(testbed, Command.UP, Options())


def test_host_that_is_too_small_by_itself_is_named(testbed, hosts):
    Host.objects.filter(name="host-b").update(cpus=2, vcpu_overcommit=1.5)
    edit(testbed, "cpus: 1", "cpus: 4")

    with pytest.raises(HostTooSmall) as refused:
        prepare(testbed, Command.UP, Options())

    assert refused.value.message == (
        "Up of olive/lab needs more than its hosts may have: 4 of 3 vCPUs on host-b."
    )
    assert not testbed.project.has_state()


@pytest.mark.parametrize("factor", ["1e308", "1001", "0", "nan", "-1"])
def test_impossible_overcommit_is_refused_with_its_bounds(page, hosts, factor):
    fields = {"seen": "0", "port": 22, "user": "root", "domain_type": "qemu"}
    fields |= {"datapath": "system", "projects_dir": "/srv/p", "images_dir": "/srv/i"}

    answer = page.post("/hosts/main/edit/", fields | {"memory_overcommit": factor})

    assert answer.status_code == 422
    assert 'class="field__error"' in answer.content.decode()
    assert Host.objects.get(name="main").memory_overcommit is None


def test_impossible_overcommit_of_an_earlier_version_is_bounded(testbed, owner, doors):
    Host.objects.update(vcpu_overcommit=1e308, memory_overcommit=1e308)

    assert create_run(testbed, owner, Command.UP).status == Run.Status.PENDING


def test_quota_without_runs_refuses_what_would_wait_for_ever(testbed, owner, doors):
    allow(owner, runs=0)

    with pytest.raises(LimitReached) as refused:
        create_run(testbed, owner, Command.UP)

    assert refused.value.message == "The quota of olive allows no runs."


def test_host_of_unknown_size_is_not_judged(testbed, settings):
    settings.VCPU_OVERCOMMIT = settings.MEMORY_OVERCOMMIT = 0.1
    Host.objects.update(cpus=0, memory_mib=0)

    assert up(testbed).guests


def test_up_of_guests_counts_these_and_those_that_run(testbed, owner, doors):
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    Testbed.objects.update(condition=Testbed.Condition.PARTIAL)
    testbed.refresh_from_db()
    allow(owner, guests=1)

    run = create_guest_up(testbed, owner, WAYS[Mode.UP], "web")
    alone = used_by(owner)
    begin(run)
    request_cancel(run.pk, owner)

    assert alone == used_by(owner) == Use(1, 1, 256)
    with pytest.raises(LimitReached, match="2 of 1 guest"):
        create_guest_up(testbed, owner, WAYS[Mode.UP], "db")


@pytest.mark.parametrize(
    "yaml",
    [
        YAML,
        YAML + "testbed_options: {load_balancing: Balanced}\n",
        CLONES,
    ],
    ids=["as written", "balanced", "clones"],
)
def test_needs_as_written_are_those_of_the_plan(testbed, make, yaml):
    up(testbed)
    second = make("second", yaml)

    before = wanted_needs(second)
    state, _ = prepare(second, Command.UP, Options())

    assert sorted(map(repr, before)) == sorted(map(repr, needs_in(state)))


def test_page_says_what_up_needs_and_what_is_left(testbed, make, owner, browser):
    up(make("second"))
    allow(owner, guests=4, vcpus=4, memory_gib=1)

    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert (
        "Up needs 2 guests, 2 vCPUs and 512 MiB of memory. Other testbeds leave it "
        "2 guests, 2 vCPUs and 512 MiB of memory in the quota of olive."
    ) in page
    assert "Up is refused." not in page


def test_page_says_before_that_up_is_refused(testbed, make, owner, browser):
    up(make("second"))
    allow(owner, vcpus=3)

    page = browser.get("/testbeds/olive/lab/").content.decode()
    pressed = browser.post("/testbeds/olive/lab/runs/", {"command": "up"})

    sentence = "Up of lab needs 2 of 1 vCPU left in the quota of olive."
    assert f"<b>Up is refused.</b> {sentence}" in page
    assert pressed.status_code == 422
    assert sentence in pressed.content.decode()


def test_page_of_what_runs_says_nothing_of_needs(testbed, owner, browser):
    state = up(testbed)
    allow(owner, vcpus=1)

    assert needs_of_up(testbed, state) is None
    edit(testbed, "cpus: 1", "cpus: 2", 1)
    needs = needs_of_up(testbed, testbed.project.read_state())

    assert "3 of 1 vCPU left" in needs.problem.message


def test_page_of_what_runs_in_part_says_what_the_rest_needs(testbed, owner):
    state = up(testbed)
    set_started(testbed, needs_in(state)[:1])
    testbed.condition = Testbed.Condition.PARTIAL
    allow(owner, vcpus=1)

    needs = needs_of_up(testbed, state)

    assert "2 of 1 vCPU left" in needs.problem.message


def test_viewer_does_not_see_the_quota(testbed, client, share):
    client.force_login(share(testbed, "viewer"))

    page = client.get("/testbeds/olive/lab/").content.decode()
    budgets = client.get("/testbeds/olive/lab/budgets/").content.decode()

    assert 'id="quota"' not in budgets
    assert 'id="needs"' not in page


def test_admin_is_told_what_is_above_a_quota_when_it_is_saved(testbed, owner, page):
    up(testbed)

    saved = page.post(
        "/admin/testbed/allowance/add/",
        {"user": owner.pk, "guests": 1, "vcpus": 2},
        follow=True,
    )

    text = saved.content.decode()
    assert "The testbeds of olive use more than this quota: 2 of 1 guest." in text
    assert Allowance.objects.get().guests == 1
