"""Says what Up will need of quota and hosts, where it is planned.

Computed from the YAML as it is written, and kept until it changes, since the page asks
every few seconds; the use of others is read each time. `testbeds/quotas.py` compares the
same numbers when Up begins.
"""

from dataclasses import dataclass
from functools import lru_cache

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedError
from orchestration.state.model import State
from testbed.access.limits import Use, account_of, key_of, limits_of, payer
from testbed.models import Host, Testbed
from testbed.reservations.held import Held, held_now
from testbed.reservations.notes import notes_on, notes_while_up, others_on
from testbed.runs.places.queue import Look, obstacle_for
from testbed.testbeds.capacity import (
    Counted,
    GuestNeed,
    added_to_hosts,
    by_host,
    counted,
    held_needs,
    parties,
    rest_of_hosts,
    taken_by_others,
)
from testbed.testbeds.planning import is_edited, wanted_needs
from testbed.testbeds.quotas import (
    Standing,
    require_needs,
    use_in,
    used_by_others,
)


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of Up in words; why it will be refused, or why it will wait.

    `notes` say which reservations it uses, and into which it would run.
    """

    text: str
    problem: TestbedError | None = None
    waits: str = ""
    notes: tuple[str, ...] = ()


def needs_of_up(testbed: Testbed, state: State | None) -> Needs | None:
    """Return what Up needs of the quota; None where it needs no more than runs.

    None as well while the YAML cannot be brought up: its findings say why.
    """
    is_up = testbed.condition == Testbed.Condition.UP
    if is_up and state is not None and not is_edited(testbed, state):
        return None
    found, hosts = counted(), list(Host.objects.all())
    reserved, held = held_now(parties(found)), held_needs(testbed)
    wanted = _wanted(testbed, found, hosts, reserved)
    if not wanted or use_in(wanted).where_above(use_in(held)) == Use():
        return None
    account, others = account_of(testbed), used_by_others(testbed, found)
    limits = limits_of(account)
    text = (
        f"Up needs {_words(use_in(wanted))}. Other testbeds leave it "
        f"{_words(limits.use - others)} in the quota of {payer(account)}."
    )
    try:
        require_needs(testbed, wanted, held, Standing(limits, others, hosts))
    except TestbedError as exc:
        return Needs(text, exc)
    adds = added_to_hosts(wanted, held)
    notes = tuple(notes_on(testbed, by_host(wanted)))
    look = Look(hosts, reserved, {key_of(account): limits})
    waits = obstacle_for(testbed, adds, found, look)
    return Needs(text, waits=waits, notes=notes)


def coming_on(testbed: Testbed) -> list[str]:
    """Return what reservations of others mean for a testbed that is up, in sentences."""
    if testbed.condition not in Testbed.DEPLOYED:
        return []
    others = others_on(testbed, by_host(held_needs(testbed)))
    if not others:
        return []
    found = counted()
    return notes_while_up(testbed, others, rest_of_hosts(found), parties(found))


def _wanted(
    testbed: Testbed,
    found: list[Counted],
    hosts: list[Host],
    reserved: tuple[Held, ...],
) -> tuple[GuestNeed, ...]:
    taken = tuple(sorted(taken_by_others(testbed, found).items()))
    files = (testbed.project.yaml_sha256(), testbed.project.stamps())
    states = tuple(host.to_state() for host in hosts)
    drained = frozenset(host.name for host in hosts if host.drained_at)
    return _needs(
        testbed.pk,
        testbed.condition,
        (*files, taken, states, drained, reserved),
    )


@lru_cache(maxsize=256)
def _needs(
    pk: int, condition: str, fingerprint: tuple[object, ...]
) -> tuple[GuestNeed, ...]:
    try:
        return wanted_needs(Testbed.objects.get(pk=pk))
    except TestbedError:
        return ()


def _words(use: Use) -> str:
    guests, vcpus = count_of(use.guests, "guest"), count_of(use.vcpus, "vCPU")
    return f"{guests}, {vcpus} and {mib(use.memory_mib)} of memory"
