"""Changes of hosts and of a testbed between two observations, and the rows after.

Guests start and stop, a host falls silent, a run leaves its row behind: all without a
worker, so that only the observation is tested.
"""

import json
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.plan.model import Command
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.ownership import domain_of
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import State
from testbed.models import Run, Testbed

Condition = Testbed.Condition


def start(kept: Hosts, state: State, name: str) -> None:
    guest = state.guest(name)
    host = state.host(guest.host)
    conn = kept.open(host).libvirt
    domain = domain_of(state.testbed, guest)
    domains.define(conn, domain, build_domain(guest, host, testbed=state.testbed))
    domains.start(conn, domain)


def stop(kept: Hosts, state: State, name: str, *, undefine: bool = True) -> None:
    guest = state.guest(name)
    conn = kept.open(state.host(guest.host)).libvirt
    domain = domain_of(state.testbed, guest)
    domains.destroy(conn, domain)
    if undefine:
        domains.undefine(conn, domain)


def silence(kept: Hosts, settings: object, host: str, *, off: bool = True) -> None:
    faults(settings, host, {"": {"unreachable": True}} if off else {})


def faults(settings: object, host: str, found: dict[str, object]) -> None:
    """Make commands with these beginnings fail on a simulated host."""
    folder = settings.RUNTIME_DIR / "simulated"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{host}.faults.json").write_text(json.dumps(found))


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
