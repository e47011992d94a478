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
from testbed.access.limits import Use, account_of, key_of, payer
from testbed.models import Testbed
from testbed.reservations.notes import notes_on, notes_while_up, others_on
from testbed.runs.places.queue import obstacle_for
from testbed.testbeds.capacity import (
    GuestNeed,
    Lab,
    added_to_hosts,
    by_host,
    parties,
    rest_of_hosts,
    taken_by_others,
)
from testbed.testbeds.planning import is_edited, wanted_needs
from testbed.testbeds.quotas import require_needs, use_in, used_by_others


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of Up in words; why it will be refused, or why it will wait.

    `notes` say which reservations it uses, and into which it would run.
    """

    text: str
    problem: TestbedError | None = None
    waits: str = ""
    notes: tuple[str, ...] = ()


def needs_of_up(
    testbed: Testbed, state: State | None, lab: Lab | None = None
) -> Needs | None:
    """Return what Up needs of the quota; None where it needs no more than runs.

    None as well while the YAML cannot be brought up: its findings say why.
    """
    is_up = testbed.condition == Testbed.Condition.UP
    if is_up and state is not None and not is_edited(testbed, state):
        return None
    lab = lab or Lab()
    held = _held(testbed, lab)
    wanted = _wanted(testbed, lab)
    if not wanted or use_in(wanted).where_above(use_in(held)) == Use():
        return None
    account, others = account_of(testbed), used_by_others(testbed, lab.counted)
    limits = lab.limits_of([key_of(account)])[key_of(account)]
    text = (
        f"Up needs {_words(use_in(wanted))}. Other testbeds leave it "
        f"{_words(limits.use - others)} in the quota of {payer(account)}."
    )
    try:
        require_needs(testbed, wanted, held, lab)
    except TestbedError as exc:
        return Needs(text, exc)
    adds = added_to_hosts(wanted, held)
    notes = tuple(notes_on(testbed, by_host(wanted), lab.claims, lab.hosts))
    waits = obstacle_for(testbed, adds, lab)
    return Needs(text, waits=waits, notes=notes)


def coming_on(testbed: Testbed, lab: Lab | None = None) -> list[str]:
    """Return what reservations of others mean for a testbed that is up, in sentences."""
    if testbed.condition not in Testbed.DEPLOYED:
        return []
    lab = lab or Lab()
    others = others_on(testbed, by_host(_held(testbed, lab)), lab.claims)
    if lab.claims.now is None or not others:
        return []
    rest = rest_of_hosts(lab.counted, lab.hosts)
    now = lab.claims.now
    return notes_while_up(testbed, others, rest, parties(lab.counted), now)


def _held(testbed: Testbed, lab: Lab) -> tuple[GuestNeed, ...]:
    """Return its guests that count already, from what was read of all testbeds."""
    own = (one.held for one in lab.counted if one.testbed == testbed.pk)
    return next(own, ())


def _wanted(testbed: Testbed, lab: Lab) -> tuple[GuestNeed, ...]:
    taken = tuple(sorted(taken_by_others(testbed, lab.counted).items()))
    files = (testbed.project.yaml_sha256(), testbed.project.stamps())
    states = tuple(host.to_state() for host in lab.hosts)
    return _needs(
        testbed.pk,
        testbed.condition,
        (*files, taken, states, lab.drained, lab.reserved),
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
