"""Hosts as they are seen: their size and load, or the reason why they are silent.

A silent host changes nothing of what was seen on it, and one that cannot be used harms
no other.
"""

from dataclasses import replace
from datetime import timedelta
from math import nan

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.hosts import Host as OpenHost
from orchestration.hosts import HostFacts, Hosts, examine
from orchestration.plan.model import Command, Options
from orchestration.state.model import Claim, ClaimKind, HostNetwork, State
from testbed.hosts import observation
from testbed.hosts.observation import observe_all
from testbed.models import Host, Run, Sample, Testbed
from testbed.samples.figures import HostFigures, record_at
from tests.testbed.hosts.host_changes import ran, seen, silence, start, stop
from tests.testbed.preparing import prepare

pytestmark = pytest.mark.database


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


def test_unexpected_error_on_one_host_is_told_for_that_host_alone(
    testbed: Testbed,
    kept: Hosts,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    stop(kept, state, "web")

    def surprised(host: OpenHost, **options: object) -> HostFacts:
        if host.state.name == "host-b":
            raise ZeroDivisionError
        return examine(host, **options)

    monkeypatch.setattr(observation, "examine", surprised)
    observe_all(kept)

    assert seen(testbed) == {"db": "running"}
    broken, main = Host.objects.get(name="host-b"), Host.objects.get(name="main")
    assert main.problem == ""
    assert broken.problem.startswith(
        "The look at host-b ended with an unexpected error."
    )
    reference = broken.problem.split("reference ")[1].split()[0]
    assert reference in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_testbed_is_as_old_as_the_last_look_at_all_of_its_hosts(
    testbed: Testbed, kept: Hosts, state: State, settings: object
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    before = timezone.now()
    observe_all(kept)
    testbed.refresh_from_db()
    seen_at = testbed.observed_at
    assert seen_at >= before

    silence(kept, settings, "host-b")
    observe_all(kept)
    testbed.refresh_from_db()
    assert testbed.observed_at == seen_at

    silence(kept, settings, "host-b", off=False)
    observe_all(kept)
    testbed.refresh_from_db()
    assert testbed.observed_at > seen_at


def test_testbed_with_a_run_is_as_old_as_the_last_look(
    testbed: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    ran(testbed, owner, Command.UP, Run.Status.RUNNING)

    observe_all(kept)

    testbed.refresh_from_db()
    assert testbed.observed_at is not None


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


FILTERED = HostNetwork(
    claims=(Claim(kind=ClaimKind.FILTER, range="100.64.0.0/10", by="ts-input"),)
)


def test_network_is_looked_at_now_and_then_and_its_problem_stays(
    testbed: Testbed, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observation, "look_at_network", lambda *_, **__: FILTERED)
    observe_all(kept)
    monkeypatch.setattr(observation, "look_at_network", lambda *_, **__: HostNetwork())

    observe_all(kept)
    still = Host.objects.get(name="host-b")
    Host.objects.update(network_seen_at=timezone.now() - timedelta(hours=1))
    observe_all(kept)
    later = Host.objects.get(name="host-b")

    assert "(ts-input) drops 100.64.0.0/10" in still.remark
    assert still.own_network == FILTERED
    assert (still.problem, still.availability) == ("", "online")
    assert (later.remark, later.own_network) == ("", HostNetwork())


def test_plan_reads_what_was_seen_and_refuses_guests_that_nobody_could_reach(
    generated: Testbed,
) -> None:
    Host.objects.filter(name="host-b").update(network=FILTERED.model_dump(mode="json"))

    with pytest.raises(StateError, match=r"On host host-b .*ts-input.* drops"):
        prepare(generated, Command.UP, Options())

    prepare(generated, Command.DOWN, Options())


def test_host_shows_what_was_busy_between_two_looks(
    testbed: Testbed, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [(100.0, 1000.0), (160.0, 1080.0), (5.0, 20.0)]
    counts = list(looks)

    def examined(*args: object, **more: object) -> HostFacts:
        busy_s, total_s = counts[0]
        facts = examine(*args, **more)
        return replace(facts, cpu_busy_s=busy_s, cpu_total_s=total_s)

    monkeypatch.setattr(observation, "examine", examined)
    shown = []
    for _ in looks:
        observe_all(kept)
        counts.pop(0)
        shown.append(Host.objects.get(name="main").cpu_percent)

    assert shown == [None, 75.0, None]  # the last one booted in between
    samples = Sample.objects.filter(host__name="main").order_by("taken_at")
    records = [record_at(row.figures, 0, len(HostFigures._fields)) for row in samples]
    assert [record[0] for record in records] == [
        pytest.approx(nan, nan_ok=True),
        75.0,
        pytest.approx(nan, nan_ok=True),
    ]
    main = Host.objects.get(name="main")
    assert records[-1][2] == (main.memory_mib - main.free_memory_mib) << 20


def test_silent_host_has_no_sample(
    testbed: Testbed, kept: Hosts, settings: object
) -> None:
    silence(kept, settings, "host-b")

    observe_all(kept)

    assert [row.host.name for row in Sample.objects.all()] == ["main"]


def test_look_at_a_host_that_is_edited_meanwhile_is_not_saved(
    testbed: Testbed, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edited() -> dict[str, object]:
        Host.objects.filter(name="host-b").update(version=1)
        return {}

    # It is called when the rows were read and no host was asked.
    monkeypatch.setattr(observation, "known_snapshots", edited)

    observe_all(kept)

    checked = dict(Host.objects.values_list("name", "checked_at"))
    assert checked["main"] is not None
    assert checked["host-b"] is None
