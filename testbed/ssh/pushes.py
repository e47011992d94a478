"""Brings changed SSH keys of users into the guests that run.

Up writes them into the guests that it sets up. Here, a periodic task does it for those
that ran while a key was added or removed, and for those that were off then and started
since. It goes on beside runs: it changes one file of the guest's account. A guest that
fails is tried again after a while, and its page shows the reason.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from orchestration.errors import Cancelled, StateError, TestbedError
from orchestration.hosts import Hosts
from orchestration.instructions.boot.user_keys import give_keys, is_ready, lacks_keys
from orchestration.locks import held_if_free
from orchestration.project.folder import Stamp
from orchestration.project.host_keys import pinned_key
from orchestration.state.model import GuestState, State
from orchestration.transport.base import Scope
from testbed.celery import PUSH_KEYS
from testbed.models import KeyProblem, Run, Testbed
from testbed.ssh.jump_visits import visit_hosts
from testbed.ssh.keys import keys_of_each
from testbed.worker import ASKED_AT_ONCE, kept_hosts

logger = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=60)
# The others wait for the next time: the worker has runs to do.
LONGEST_S = 60.0
# Of one guest: a hostile one answers slowly.
GUEST_S = 20.0
RUNNING = "running"
Known = tuple[tuple[Stamp, ...], tuple[str, ...]]
# The files and keys of each testbed as they were when all its guests had them: a state
# of 1,000 guests takes 60 ms to read.
_complete: dict[int, Known] = {}


@dataclass(frozen=True, slots=True)
class Push:
    """One guest that runs, and the keys that it is to accept."""

    testbed: Testbed
    state: State
    guest: GuestState
    lines: tuple[str, ...]


@shared_task(name=PUSH_KEYS, ignore_result=True)
def push_keys() -> None:
    """Bring changed keys once; calls that overlap leave it to the first."""
    with held_if_free(settings.RUNTIME_DIR / "push-keys.lock") as is_mine:
        if is_mine:
            visit_hosts(kept_hosts())
            push_all(kept_hosts())


def push_all(hosts: Hosts) -> None:
    """Bring changed keys into all guests that run, many at a time."""
    deployed = list(Testbed.objects.filter(condition__in=Testbed.DEPLOYED))
    for gone in _complete.keys() - {testbed.pk for testbed in deployed}:
        del _complete[gone]
    keys = keys_of_each(deployed)
    # Such a run writes keys itself, those of its beginning: it goes first.
    changing = set(Run.objects.changing().begun().values_list("testbed", flat=True))
    idle = [testbed for testbed in deployed if testbed.pk not in changing]
    due = _in_turn([list(_due(testbed, keys[testbed.pk])) for testbed in idle])
    deadline = time.monotonic() + LONGEST_S

    def attempt(push: Push) -> str | None:
        return _push(push, hosts) if time.monotonic() < deadline else None

    if not due:
        return
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for push, problem in zip(due, pool.map(attempt, due), strict=True):
            if problem is not None:
                _note(push, problem)


def _in_turn(queues: Iterable[list[Push]]) -> list[Push]:
    """Return one push of each testbed, then the next: none waits for another's guests."""
    rounds = zip_longest(*queues)
    return [push for one in rounds for push in one if push is not None]


def _due(testbed: Testbed, lines: tuple[str, ...]) -> Iterator[Push]:
    """Yield the guests that run with other keys, but those that failed just now."""
    known = (testbed.project.stamps(), lines)
    if _complete.get(testbed.pk) == known:
        return
    try:
        state = testbed.project.read_state()
    except StateError:
        return
    lacking = [guest for guest in state.guests if lacks_keys(guest, lines)]
    if not lacking:
        testbed.key_problems.all().delete()
        _complete[testbed.pk] = known
        return
    running = testbed.observed_guests.filter(status=RUNNING)
    names = set(running.values_list("name", flat=True))
    recent = testbed.key_problems.filter(tried_at__gt=timezone.now() - RETRY_AFTER)
    names -= set(recent.values_list("guest", flat=True))
    for guest in lacking:
        if guest.name in names:
            yield Push(testbed, state, guest, lines)


def _push(push: Push, hosts: Hosts) -> str | None:
    """Bring the keys into one guest; return a problem, or an empty text.

    None: it still boots for the first time.
    """
    project, guest = push.testbed.project, push.guest
    scope = Scope().limited(GUEST_S)
    try:
        key = pinned_key(project, guest.name)
        transport = hosts.guest(push.state, guest, host_key=key)
        if not is_ready(guest, transport, scope=scope):
            return None
        give_keys(project, guest, transport, push.lines, scope=scope)
    except Cancelled:
        return f"It did not answer within {GUEST_S:.0f} s."
    except TestbedError as exc:
        return exc.sentence
    except Exception:  # one guest must not end the others' pushes
        logger.exception("keys of %s in %s", guest.name, push.testbed)
        return "It failed for a reason that we did not foresee: see the worker's log."
    logger.info("%s of %s has the keys of its users", guest.name, push.testbed)
    return ""


def _note(push: Push, problem: str) -> None:
    rows = KeyProblem.objects.filter(testbed=push.testbed, guest=push.guest.name)
    if not problem:
        rows.delete()
        return
    KeyProblem.objects.update_or_create(
        testbed=push.testbed,
        guest=push.guest.name,
        defaults={"problem": problem, "tried_at": timezone.now()},
    )
