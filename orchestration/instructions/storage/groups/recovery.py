"""Finishes what an act on a group snapshot left: no guest paused, no half group.

The act itself calls it when it fails or is cancelled, the next act before it begins,
and the web's sweeper where a worker died. The guards on the hosts have resumed the
guests by then, unless they died as well.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

from orchestration.errors import HostUnreachable, SnapshotFailed, TestbedError
from orchestration.events import Stream
from orchestration.hosts import Hosts
from orchestration.instructions.storage.groups.members import AT_ONCE, Guards
from orchestration.instructions.task import Task
from orchestration.project import groups
from orchestration.project.folder import Project
from orchestration.project.groups import Journal
from orchestration.providers.libvirt import agent
from orchestration.providers.libvirt.ownership import domain_of
from orchestration.providers.libvirt.snapshots import verbs
from orchestration.state.model import State

logger = logging.getLogger(__name__)
# An act that is being put right, on a host that falls silent meanwhile.
WAIT_S = 20.0


@contextmanager
def alone(task: Task) -> Iterator[None]:
    """Begin an act on a group, with nothing left of the one before.

    Raises: SnapshotFailed.
    """
    with groups.in_work(task.project, wait_s=WAIT_S) as is_held:
        if not is_held:
            raise SnapshotFailed(
                "Another act on all guests' snapshots is not over.",
                hint="Do it again in a minute.",
            )
        if left := put_right(task.hosts, task.state, task.project):
            raise SnapshotFailed(
                f"A worker was lost, and left something unfinished: {left[0]}",
                hint="The testbed goes on trying. Do it again when the host answers.",
                detail="\n".join(left),
            )
        yield


def end_early(task: Task, guards: Guards) -> list[str]:
    """Put right what a task that fails or is cancelled has begun; return problems."""
    problems = put_right(task.hosts, task.state, task.project)
    if problems:
        guards.let_act()
    else:
        guards.stop()
    for problem in problems:
        task.log(f"Left for later: {problem}", Stream.STDERR)
    return problems


def put_right(hosts: Hosts, state: State, project: Project) -> list[str]:
    """Resume paused guests and remove a group that is not whole; return problems.

    Called with the journal's lock held. A problem leaves the journal for a next call.
    """
    found = groups.journal(project)
    if found is None:
        return []
    known = {guest.name for guest in state.guests}
    guests = [name for name in found.guests if name in known]
    with ThreadPoolExecutor(max(1, min(len(guests), AT_ONCE))) as pool:
        work = partial(_problem, hosts, state, found)
        problems = [problem for problem in pool.map(work, guests) if problem]
    if not problems:
        groups.clear_journal(project)
    return problems


def _problem(hosts: Hosts, state: State, found: Journal, name: str) -> str:
    try:
        _put_right(hosts, state, found, name)
    except TestbedError as exc:
        return exc.sentence
    except Exception:  # the other guests are put right
        logger.exception("guest %s of %s is not put right", name, state.testbed)
        return f"Guest {name}: an unexpected error, which is in the log."
    return ""


def _put_right(hosts: Hosts, state: State, found: Journal, name: str) -> None:
    guest = state.guest(name)
    conn = hosts.open(state.host(guest.host)).libvirt
    domain = domain_of(state.testbed, guest)
    situation = verbs.look(conn, domain)
    if situation is None:
        return
    if name in found.paused:
        verbs.resume(conn, domain)
    if name in found.agents:
        with suppress(HostUnreachable):
            agent.thaw(conn, domain)
    half = situation.named(found.unfinished)
    if half is not None and half.label.group:
        verbs.delete(conn, domain, found.unfinished)
