"""Observation: what the hosts show becomes rows, and a silent host changes nothing."""

import json
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.instructions.base import Command, Options
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.xml import build_domain
from orchestration.state.model import State
from testbed.models import Host, Inventory, ObservedGuest, Run, Testbed
from testbed.services.planning import prepare
from testbed.tasks.observe import observe, observe_all, save_condition
from tests.testbed.conftest import Doors
from tests.testbed.deployment import obey, on

Condition = Testbed.Condition


@pytest.fixture
def kept(testbed: Testbed, settings: object) -> Iterator[Hosts]:
    hosts = Hosts(settings.RUNTIME_DIR)
    yield hosts
    hosts.close()


@pytest.fixture
def state(testbed: Testbed, doors: Doors) -> State:
    """Guest `web` on main and guest `db` on host-b, as planned."""
    return prepare(testbed, Command.UP, Options())[0]


def start(kept: Hosts, state: State, name: str) -> None:
    guest = state.guest(name)
    host = state.host(guest.host)
    conn = kept.open(host).libvirt
    domains.define(conn, build_domain(guest, host, testbed=state.testbed))
    domains.start(conn, guest.domain)


def stop(kept: Hosts, state: State, name: str, *, undefine: bool = True) -> None:
    guest = state.guest(name)
    conn = kept.open(state.host(guest.host)).libvirt
    domains.destroy(conn, guest.domain)
    if undefine:
        domains.undefine(conn, guest.domain)


def silence(kept: Hosts, settings: object, host: str, *, off: bool = True) -> None:
    folder = settings.RUNTIME_DIR / "simulated"
    folder.mkdir(parents=True, exist_ok=True)
    faults = {"": {"unreachable": True}} if off else {}
    (folder / f"{host}.faults.json").write_text(json.dumps(faults))


def ran(testbed: Testbed, owner: User, command: Command, status: str) -> Run:
    """Leave a run behind that ended a minute ago."""
    return Run.objects.create(
        testbed=testbed,
        command=command,
        plan={},
        asked_by=owner,
        status=status,
        ended_at=timezone.now() - timedelta(minutes=1),
    )


def is_now(testbed: Testbed, condition: str) -> None:
    Testbed.objects.filter(pk=testbed.pk).update(condition=condition)


def seen(testbed: Testbed) -> dict[str, str]:
    return dict(testbed.observed_guests.values_list("name", "status"))


def condition(testbed: Testbed) -> str:
    testbed.refresh_from_db()
    return testbed.condition


def test_guests_are_seen_where_they_run(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")

    observe_all(kept)

    rows = testbed.observed_guests.values_list("name", "host", "status")
    assert set(rows) == {("web", "main", "running"), ("db", "host-b", "running")}
    web = testbed.observed_guests.get(name="web")
    assert web.memory_mib == 256
    assert web.cpu_time_ns > 0


def test_status_is_libvirts_word(testbed: Testbed, kept: Hosts, state: State) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    name = state.guest("db").domain
    conn = kept.open(state.host("host-b")).libvirt
    conn.call("pause", lambda h: h.lookupByName(name).suspend(), changes=True)
    stop(kept, state, "web", undefine=False)

    observe_all(kept)

    assert seen(testbed) == {"web": "shut off", "db": "paused"}


def test_guest_that_is_gone_loses_its_row(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    stop(kept, state, "web")

    observe_all(kept)

    assert seen(testbed) == {"db": "running"}


def test_look_that_took_long_does_not_undo_a_newer_one(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    newer = timezone.now() + timedelta(minutes=1)
    Inventory.objects.filter(host__name="main").update(looked_at=newer)
    stop(kept, state, "web")
    stop(kept, state, "db")

    observe_all(kept)

    assert seen(testbed) == {"web": "running"}
    assert Inventory.objects.get(host__name="main").looked_at == newer


def test_domains_of_others_are_not_ours(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    guest, host = state.guest("web"), state.main
    xml = build_domain(guest, host, testbed="another-installation")
    domains.define(kept.open(host).libvirt, xml)

    observe_all(kept)

    assert seen(testbed) == {}


def test_cpu_share_is_what_was_used_since_the_last_look(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    first = testbed.observed_guests.get()
    assert first.cpu_percent == 0.0

    # The test driver counts its uptime: as if half of that time had passed.
    past = timezone.now() - timedelta(seconds=10)
    ObservedGuest.objects.update(observed_at=past, cpu_time_ns=1)
    observe_all(kept)

    again = testbed.observed_guests.get()
    used_ns = again.cpu_time_ns - 1
    elapsed_ns = (again.observed_at - past).total_seconds() * 1e9
    assert again.cpu_percent == round(min(100.0, 100 * used_ns / elapsed_ns), 1)
    assert again.cpu_percent > 0


def test_restarted_guest_has_no_negative_share(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    ObservedGuest.objects.update(cpu_time_ns=2**62)

    observe_all(kept)

    assert testbed.observed_guests.get().cpu_percent == 0.0


def test_silent_host_keeps_its_guests_and_gets_its_problem(
    testbed: Testbed, kept: Hosts, state: State, settings: object
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    silence(kept, settings, "host-b")
    stop(kept, state, "web")

    observe_all(kept)

    assert seen(testbed) == {"db": "running"}
    silent, main = Host.objects.get(name="host-b"), Host.objects.get(name="main")
    assert silent.problem.startswith("host-b does not answer.")
    assert "faults file" in silent.problem
    assert silent.checked_at is not None
    assert main.problem == ""
    silence(kept, settings, "host-b", off=False)
    observe_all(kept)
    silent.refresh_from_db()
    assert silent.problem == ""


def test_host_shows_its_size_and_load(testbed: Testbed, kept: Hosts) -> None:
    Host.objects.update(memory_mib=0, free_memory_mib=0)

    observe_all(kept)

    for host in Host.objects.all():
        assert host.memory_mib > 0
        assert host.free_memory_mib > 0
        assert host.checked_at is not None


def test_host_added_in_the_admin_is_examined_at_first_sight(
    testbed: Testbed, kept: Hosts
) -> None:
    wrong = {"domain_type": "kvm", "datapath": "netdev"}
    Host.objects.filter(name="host-b").update(cpus=0, **wrong)
    Host.objects.filter(name="main").update(**wrong)

    observe_all(kept)

    new, known = Host.objects.get(name="host-b"), Host.objects.get(name="main")
    assert new.cpus > 0
    assert (new.domain_type, new.datapath) == ("qemu", "system")
    assert (known.domain_type, known.datapath) == ("kvm", "netdev")


def test_host_without_a_usable_key_harms_no_other(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    Host.objects.create(name="typo", address="192.0.2.1", host_key="garbage")
    start(kept, state, "web")

    observe_all(kept)

    assert seen(testbed) == {"web": "running"}
    assert Host.objects.get(name="typo").problem != ""


def test_testbed_is_up_only_while_all_its_guests_run(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)

    observe_all(kept)
    assert condition(testbed) == Condition.UP

    stop(kept, state, "db", undefine=False)
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL

    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.UP

    stop(kept, state, "db")
    stop(kept, state, "web")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL


def test_failed_up_stays_partial_even_while_all_run(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.FAILED)
    is_now(testbed, Condition.PARTIAL)
    start(kept, state, "web")
    start(kept, state, "db")

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL


def test_generating_again_does_not_hide_that_the_testbed_is_up(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    ran(testbed, owner, Command.GENERATE_ARTEFACTS, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)

    observe_all(kept)

    assert condition(testbed) == Condition.UP


@pytest.mark.parametrize("was", [Condition.EMPTY, Condition.GENERATED, Condition.DOWN])
def test_testbed_that_is_not_up_stays_what_it_is_until_a_guest_is_seen(
    testbed: Testbed, kept: Hosts, state: State, was: str
) -> None:
    is_now(testbed, was)
    observe_all(kept)
    assert condition(testbed) == was

    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL


@pytest.mark.parametrize(
    ("command", "after"),
    [
        (Command.DOWN, Condition.DOWN),
        (Command.CLEAR_ARTEFACTS, Condition.EMPTY),
        (None, Condition.GENERATED),
    ],
)
def test_leftover_that_is_gone_again_makes_nothing_partial_for_ever(
    testbed: Testbed,
    kept: Hosts,
    state: State,
    owner: User,
    command: Command | None,
    after: str,
) -> None:
    if command is not None:
        ran(testbed, owner, command, Run.Status.SUCCEEDED)
    is_now(testbed, after)
    start(kept, state, "db")
    observe_all(kept)
    assert condition(testbed) == Condition.PARTIAL
    if command is Command.CLEAR_ARTEFACTS:
        testbed.project.clear()

    stop(kept, state, "db")
    observe_all(kept)

    assert condition(testbed) == after


def test_failed_down_stays_partial_when_no_guest_is_left(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.DOWN, Run.Status.FAILED)
    is_now(testbed, Condition.PARTIAL)

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL


def test_active_run_keeps_the_condition_to_itself(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    run = ran(testbed, owner, Command.UP, Run.Status.RUNNING)
    Run.objects.filter(pk=run.pk).update(ended_at=None)
    start(kept, state, "web")

    observe_all(kept)

    assert condition(testbed) == Condition.EMPTY
    assert seen(testbed) == {"web": "running"}


def test_look_that_began_before_a_run_ended_does_not_judge_it(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    run = ran(testbed, owner, Command.DOWN, Run.Status.SUCCEEDED)
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now() + timedelta(hours=1))
    is_now(testbed, Condition.DOWN)
    start(kept, state, "web")

    observe_all(kept)

    assert condition(testbed) == Condition.DOWN


def test_broken_state_of_one_testbed_does_not_stop_the_others(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    start(kept, state, "web")
    other = Testbed.objects.create(owner=owner, slug="later", number=8)
    testbed.project.state_file.write_text("{")

    observe_all(kept)

    assert condition(testbed) == Condition.PARTIAL
    other.refresh_from_db()
    assert other.observed_at is not None


def test_condition_of_one_testbed_can_be_saved_alone(
    testbed: Testbed, state: State
) -> None:
    save_condition(testbed)

    testbed.refresh_from_db()
    assert testbed.observed_at is not None


def test_task_observes_with_the_workers_own_hosts(
    testbed: Testbed, kept: Hosts, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_module(observe_all.__module__), "kept_hosts", lambda: kept
    )
    start(kept, state, "web")

    observe()

    assert seen(testbed) == {"web": "running"}


def texts(testbed: Testbed) -> list[str]:
    return [part.text for part in testbed.missing_parts.all()]


@pytest.fixture
def is_up(testbed: Testbed, kept: Hosts, state: State, owner: User) -> Testbed:
    """The testbed, up on both hosts and seen to be."""
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)
    observe_all(kept)
    return testbed


def test_bridge_that_is_gone_makes_the_testbed_partial_until_it_is_back(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])

    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")
    observe_all(kept)
    assert condition(is_up) == Condition.PARTIAL
    assert texts(is_up) == ["bridge lan is gone on main"]

    obey(is_up, kept, Command.UP)
    observe_all(kept)
    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])


def test_silent_host_keeps_what_was_missed_on_it(
    is_up: Testbed, kept: Hosts, state: State, settings: object
) -> None:
    on(kept, state, "host-b", "ovs-vsctl -- del-br t7-far")
    observe_all(kept)
    silence(kept, settings, "host-b")
    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")

    observe_all(kept)

    assert sorted(texts(is_up)) == [
        "bridge far is gone on host-b",
        "bridge lan is gone on main",
    ]


def test_testbed_that_is_taken_down_misses_nothing(
    is_up: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")
    observe_all(kept)
    obey(is_up, kept, Command.DOWN)
    ran(is_up, owner, Command.DOWN, Run.Status.SUCCEEDED)
    is_now(is_up, Condition.DOWN)

    observe_all(kept)

    assert texts(is_up) == []
    assert condition(is_up) == Condition.DOWN


def test_inventory_of_each_host_is_kept_and_the_time_of_the_look(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    first = Inventory.objects.get(host__name="host-b")

    observe_all(kept)

    again = Inventory.objects.get(host__name="host-b")
    assert {thing["kind"] for thing in again.things} == {
        "domain",
        "bridge",
        "port",
        "network",
        "folder",
    }
    assert again.looked_at > first.looked_at
