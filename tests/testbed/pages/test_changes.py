"""The effects of an edit of a deployed testbed, and drift, as its page shows them."""

import pytest
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import Host, ObservedGuest, Run, Testbed
from testbed.pages.changes import SHOWN, pending_changes
from testbed.pages.drift import drift_of
from tests.testbed.preparing import prepare
from tests.testbed.reading import visible

PAGE = "/testbeds/olive/lab/"
INTERFACES = "interfaces: [{bridge: lan}, {bridge: lan}]"


@pytest.fixture
def deployed(testbed):
    prepare(testbed, Command.UP, Options())
    testbed.condition = Testbed.Condition.UP
    testbed.save()
    return testbed


@pytest.fixture
def page(client, owner):
    client.force_login(owner)
    return lambda path=PAGE: client.get(path).content.decode()


def edit(testbed, old, new, count=-1):
    yaml = testbed.project.yaml
    assert old in yaml.read_text()
    yaml.write_text(yaml.read_text().replace(old, new, count))


def lines(testbed):
    pending = pending_changes(testbed, testbed.project.read_state())
    return {
        (line.word, line.name, line.reasons) for g in pending.groups for line in g.lines
    }


def observe(testbed, **statuses):
    for name, status in statuses.items():
        ObservedGuest.objects.update_or_create(
            testbed=testbed,
            name=name,
            defaults={"host": "main", "status": status, "observed_at": timezone.now()},
        )
    Testbed.objects.filter(pk=testbed.pk).update(
        condition=Testbed.Condition.PARTIAL, observed_at=timezone.now()
    )


def test_unedited_testbed_has_nothing_pending(deployed, page):
    assert pending_changes(deployed, deployed.project.read_state()) is None
    shown = page()
    assert "Changes that Up applies" not in shown
    assert "apply the changes" not in shown


def test_edit_is_shown_with_its_reasons_before_anything_is_done(deployed, page):
    before = deployed.project.read_known()
    edit(deployed, "memory_mb: 256", "memory_mb: 512", count=1)
    edit(deployed, "name: db", "name: store")

    shown = page()

    assert ("restart", "web", "memory 256 → 512 MiB") in lines(deployed)
    assert "memory 256 → 512 MiB" in shown
    assert "removed from the YAML; its disk will be deleted" in shown
    assert "Up: apply the changes" in shown
    assert "2 guests stop, 1 disk erased" in shown
    assert "512 MiB of 16 GiB assigned (now 256 MiB)" in shown
    assert deployed.project.read_known() == before
    assert not Run.objects.exists()


def test_change_of_interfaces_is_said_to_be_live(deployed, page):
    edit(deployed, "interfaces: [{bridge: lan}]", INTERFACES, count=1)

    shown = page()

    live = "change without reboot"
    assert (live, "web", "eth1 on lan is new") in lines(deployed)
    assert f"{live}</span>" in shown
    assert "eth1 on lan is new" in shown
    assert "no guests stop, 1 guest not touched" in shown


def test_poll_shows_it_too_and_follows_the_next_edit(deployed, page):
    edit(deployed, "memory_mb: 256", "memory_mb: 512", count=1)
    assert "memory 256 → 512 MiB" in page("/testbeds/olive/lab/live/")
    edit(deployed, "memory_mb: 512", "memory_mb: 768", count=1)

    assert "memory 256 → 768 MiB" in page("/testbeds/olive/lab/live/")


def test_edit_of_a_file_that_keeps_its_size_is_looked_at_again(testbed):
    name, script = "{name: ubuntu_22_04}", testbed.project.files / "own.sh"
    edit(testbed, name, "{name: ubuntu_22_04, setup_script: own.sh}", count=1)
    script.write_text("echo 1\n")
    prepare(testbed, Command.UP, Options())
    testbed.condition = Testbed.Condition.UP
    testbed.save()
    edit(testbed, "memory_mb: 256", "memory_mb: 512", count=1)
    assert ("restart", "web", "memory 256 → 512 MiB") in lines(testbed)

    script.write_text("echo 2\n")

    reasons = "memory 256 → 512 MiB, setup script own.sh was edited"
    assert ("restart", "web", reasons) in lines(testbed)


def test_hosts_that_change_are_looked_at_again(deployed):
    edit(deployed, "memory_mb: 256", "memory_mb: 512", count=1)
    assert ("restart", "web", "memory 256 → 512 MiB") in lines(deployed)
    Host.objects.update(memory_mib=300)

    pending = pending_changes(deployed, deployed.project.read_state())

    assert not pending.groups
    assert "512 MiB" in pending.problem or "kvm-compose.yaml" in pending.problem


def test_broken_edit_says_why_it_cannot_be_applied(deployed, page):
    edit(deployed, "bridge: lan", "bridge: nowhere")

    shown = page()

    assert "The edited YAML cannot be applied yet" in shown
    assert "apply the changes" not in shown


def test_comment_changes_nothing_of_what_runs(deployed, page):
    edit(deployed, "machines:", "# more\nmachines:")

    assert "changes nothing of what runs" in page()


def test_unfinished_change_is_shown_without_another_edit(deployed):
    edit(deployed, "name: db", "name: store")
    prepare(deployed, Command.UP, Options())

    assert ("remove", "db", "removed from the YAML; its disk will be deleted") in lines(
        deployed
    )


def test_large_edit_is_bounded(deployed):
    web = deployed.project.yaml.read_text().partition("  - name: db")[0][10:]
    more = [web.replace("name: web", f"name: web{n}") for n in range(SHOWN + 1)]
    edit(deployed, "machines:\n", "machines:\n" + "".join(more))

    pending = pending_changes(deployed, deployed.project.read_state())

    (group,) = (g for g in pending.groups if g.title == "Guests")
    assert (len(group.lines), group.more) == (SHOWN, 1)


def test_many_reasons_are_bounded(deployed):
    variables = ", ".join(f"VARIABLE_{n}: x" for n in range(200))
    edit(
        deployed,
        "{name: ubuntu_22_04}",
        f"{{name: ubuntu_22_04, environment: {{{variables}}}}}",
        count=1,
    )

    ((_, _, reasons),) = lines(deployed)

    assert reasons.startswith("environment: VARIABLE_0, VARIABLE_1,")
    assert len(reasons) <= 400


def test_guest_that_was_seen_missing_is_named(deployed, owner, page):
    Run.objects.create(
        testbed=deployed,
        asked_by=owner,
        command="up",
        status=Run.Status.SUCCEEDED,
        plan={},
    )
    observe(deployed, web="running")

    shown = page()

    assert "guest db is gone on host-b" in visible(shown)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("succeeded", "is gone"),
        ("failed", "is missing"),
        ("cancelled", "is missing"),
    ],
)
def test_missing_parts_are_named_with_the_guests_and_marked(
    deployed, owner, status, words, page
):
    Run.objects.create(
        testbed=deployed, asked_by=owner, command="up", status=status, plan={}
    )
    deployed.missing_parts.create(
        kind="bridge", name="lan", host="main", text="bridge lan is gone on main"
    )
    observe(deployed, web="shut off", db="running")

    shown = page()

    told = f"bridge lan {words} on main; guest web is shut off on main"
    assert told in visible(shown)
    assert "lan is gone</text>" in shown
    assert "db is" not in visible(shown)


def test_many_missing_things_are_bounded(deployed, owner, page):
    Run.objects.create(
        testbed=deployed, asked_by=owner, command="up", status="succeeded", plan={}
    )
    for number in range(20):
        deployed.missing_parts.create(
            kind="bridge",
            name="x",
            host="main",
            text=f"bridge x{number} is gone on main",
        )
    observe(deployed, web="running", db="running")

    assert "; and 12 more." in visible(page())


@pytest.mark.parametrize("command", ["down", None])
def test_guests_that_nobody_wants_up_are_no_drift(deployed, owner, command, page):
    if command:
        Run.objects.create(
            testbed=deployed, asked_by=owner, command=command, status="failed", plan={}
        )
    observe(deployed, web="running")

    deployed.refresh_from_db()
    assert not drift_of(deployed, [], deployed.runs.first())
    assert "Drift detected" not in page()


def test_uplink_that_moves_is_one_line(deployed):
    edit(deployed, "external_bridge: lan", "external_bridge: far")

    found = [line[:2] for line in lines(deployed) if line[1] == "uplink"]

    assert found == [("recreate", "uplink")]
