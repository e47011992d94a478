"""Drained hosts: nothing new is started there, and what is there goes on."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Kind
from orchestration.plan.power import PAUSED, RUNNING, SHUT_OFF, VERBS
from orchestration.plan.selected import WAYS, Mode
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.hosts.drain import DrainRefused, drain, end_drain
from testbed.models import Entry, Host, ObservedGuest, Run, Testbed
from testbed.runs.creation import create_guest_up, create_power, create_snapshot
from testbed.runs.outcome import finish_run
from testbed.runs.places.queue import start_waiting, turn_of
from testbed.testbeds.capacity import needs_in, set_started
from testbed.testbeds.planning import wanted_needs
from testbed.testbeds.quotas import HostDrained
from tests.testbed.conftest import MakeRun

WHY = "its disks are replaced"


@pytest.fixture
def other(hosts: tuple[Host, Host]) -> Host:
    return hosts[1]


def acts() -> list[tuple[str, str, str]]:
    entries = Entry.objects.filter(act="hosts").order_by("pk")
    return list(entries.values_list("user", "thing", "what"))


def test_new_guests_go_to_the_other_hosts(testbed: Testbed, other: Host) -> None:
    assert {need.host for need in wanted_needs(testbed)} == {"main", "host-b"}

    drain(other, "ada", WHY)

    assert {need.host for need in wanted_needs(testbed)} == {"main"}


def test_guest_that_has_a_disk_there_is_refused_with_who_when_and_why(
    testbed: Testbed, other: Host, make_run: MakeRun, generated: Testbed
) -> None:
    state = testbed.project.read_state()
    marked = [
        guest.model_copy(
            update={"markers": guest.markers.model_copy(update={"disk": "d"})}
        )
        for guest in state.guests
    ]
    testbed.project.write_state(state.model_copy(update={"guests": tuple(marked)}))
    drain(other, "ada", WHY)

    with pytest.raises(HostDrained) as refused:
        make_run(Command.UP)

    text = refused.value.sentence
    assert "Up of olive/lab is refused. host-b was drained by ada on " in text
    assert f": {WHY}, and db would be started there." in text
    assert not Run.objects.exists()


def test_guest_without_a_disk_there_moves(
    testbed: Testbed, other: Host, make_run: MakeRun, generated: Testbed
) -> None:
    drain(other, "ada", WHY)

    make_run(Command.UP)

    assert {guest.host for guest in testbed.project.read_state().guests} == {"main"}


def test_guests_that_run_there_stay_when_up_is_repeated(
    testbed: Testbed, other: Host, make_run: MakeRun, generated: Testbed
) -> None:
    Testbed.objects.filter(pk=testbed.pk).update(condition="up")
    testbed.refresh_from_db()
    set_started(testbed, needs_in(testbed.project.read_state()))
    drain(other, "ada", WHY)

    make_run(Command.UP)

    hosts = {guest.name: guest.host for guest in testbed.project.read_state().guests}
    assert hosts == {"web": "main", "db": "host-b"}


@pytest.fixture
def up(generated: Testbed) -> Testbed:
    """A testbed that is up: web runs on main, db is off on host-b."""
    set_started(generated, needs_in(generated.project.read_state()))
    Testbed.objects.filter(pk=generated.pk).update(condition="up")
    for name, host, status in (("web", "main", RUNNING), ("db", "host-b", SHUT_OFF)):
        ObservedGuest.objects.update_or_create(
            testbed=generated,
            name=name,
            defaults={"host": host, "status": status, "observed_at": timezone.now()},
        )
    generated.refresh_from_db()
    return generated


def test_start_of_a_guest_that_is_off_there_is_refused(
    up: Testbed, other: Host, owner: User, doors: object
) -> None:
    drain(other, "ada", WHY)

    with pytest.raises(HostDrained) as refused:
        create_power(up, owner, VERBS[Kind.POWER_ON], "@all")

    text = refused.value.sentence
    assert text.startswith("Start in ")
    assert "lab is refused. host-b was drained by ada on " in text
    assert f": {WHY}, and db would be started there." in text
    with pytest.raises(HostDrained, match=r"Up in (olive/)?lab is refused"):
        create_guest_up(up, owner, WAYS[Mode.UP], "db")
    assert not Run.objects.exists()


def restore(testbed: Testbed, user: User, guest: str, leaves: dict[str, str]) -> Run:
    wish = SnapshotWish(SnapshotVerb.RESTORE, "base", str(user), before="now")
    return create_snapshot(testbed, user, wish, guest, leaves=leaves)


@pytest.mark.parametrize("leaves", [{"db": RUNNING}, {"db": PAUSED}, {}])
def test_restore_that_would_start_a_guest_there_is_refused(
    up: Testbed, other: Host, owner: User, doors: object, leaves: dict[str, str]
) -> None:
    drain(other, "ada", WHY)

    with pytest.raises(HostDrained) as refused:
        restore(up, owner, "@all", leaves)

    text = refused.value.sentence
    assert text.startswith("Restore snapshot base in ")
    assert "lab is refused. host-b was drained by" in text
    assert f": {WHY}, and db would be started there." in text
    assert not Run.objects.exists()


def test_restore_that_starts_nothing_there_is_made(
    up: Testbed, other: Host, owner: User, doors: object
) -> None:
    drain(other, "ada", WHY)

    off = restore(up, owner, "db", {"db": SHUT_OFF})
    finish_run(off.pk, Run.Status.SUCCEEDED)
    elsewhere = restore(up, owner, "web", {"web": RUNNING})
    finish_run(elsewhere.pk, Run.Status.SUCCEEDED)
    up.observed_guests.filter(name="db").update(status=RUNNING)

    assert restore(up, owner, "db", {"db": RUNNING}).command == Command.SNAPSHOT


@pytest.mark.parametrize("kind", [Kind.REBOOT, Kind.POWER_OFF, Kind.POWER_ON])
def test_guest_that_runs_there_obeys_its_power_verbs(
    up: Testbed, other: Host, owner: User, doors: object, kind: Kind
) -> None:
    up.observed_guests.filter(name="db").update(status=RUNNING)
    drain(other, "ada", WHY)

    assert create_power(up, owner, VERBS[kind], "db").command == Command.POWER


def test_guest_on_another_host_is_started(
    up: Testbed, other: Host, owner: User, doors: object
) -> None:
    up.observed_guests.filter(name="web").update(status=SHUT_OFF)
    drain(other, "ada", WHY)

    assert create_power(up, owner, VERBS[Kind.POWER_ON], "web").pk


def test_drain_of_a_host_that_was_removed_says_so(other: Host) -> None:
    gone = Host.objects.get(pk=other.pk)
    other.delete()

    with pytest.raises(DrainRefused, match=r"host-b was removed\."):
        drain(gone, "ada", WHY)


def test_all_hosts_drained_is_a_refusal_that_names_them(
    testbed: Testbed, hosts: tuple[Host, Host], make_run: MakeRun
) -> None:
    for host in hosts:
        drain(host, "ada", "")

    with pytest.raises(
        HostDrained, match=r"main was drained by ada on .* web would be"
    ):
        make_run(Command.UP)


def test_up_that_waits_goes_on_waiting_until_the_drain_ends(
    testbed: Testbed, other: Host, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(Command.UP)
    Run.objects.filter(pk=run.pk).update(status="waiting", has_begun=False)
    Testbed.objects.filter(pk=testbed.pk).update(condition="empty", started=[])
    run.refresh_from_db()
    drain(other, "ada", WHY)

    assert start_waiting() == 0
    turn = turn_of(run)
    assert turn is not None
    assert turn.obstacle.startswith("host-b was drained by ada on ")
    end_drain(other, "ada")
    assert turn_of(run).obstacle == ""


def test_each_act_is_in_the_record_once(other: Host, doors: object) -> None:
    drain(other, "ada", "a\nb\x1b[2J" + "x" * 300)
    with pytest.raises(DrainRefused, match=r"host-b was drained by ada .* already"):
        drain(other, "bob", "")
    end_drain(other, "bob")
    with pytest.raises(DrainRefused, match="is not drained"):
        end_drain(other, "ada")

    (first, second) = acts()
    assert first[:2] == ("ada", "host host-b")
    assert first[2].startswith("drained it: a b")
    assert second == ("bob", "host host-b", "ended its drain")


def test_page_names_the_drain_and_only_admins_end_it(
    client: Client, other: Host, owner: User, admin: User, doors: object
) -> None:
    client.force_login(admin)
    answer = client.post("/hosts/host-b/drain/", {"do": "drain", "reason": "<b>"})
    assert answer.status_code == 302
    shown = client.get("/hosts/host-b/").content.decode()
    assert "host-b was drained by ada on" in shown
    assert "&lt;b&gt;" in shown
    assert "End the drain" in shown
    assert client.post("/hosts/host-b/drain/").status_code == 422

    client.force_login(owner)
    shown = client.get("/hosts/host-b/").content.decode()
    assert "host-b was drained by ada on" in shown
    assert "End the drain" not in shown
    assert "drained" in client.get("/hosts/").content.decode()
    assert client.post("/hosts/host-b/drain/", {"do": "end"}).status_code == 403

    client.force_login(admin)
    client.post("/hosts/host-b/drain/", {"do": "end"})
    assert Host.objects.get(name="host-b").drained_at is None
