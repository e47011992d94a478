"""Remove files that removed guests left behind, and copies of disks nobody uses.

Celery beat calls it every hour. A testbed with a run on, or whose state cannot be
read, is left alone; copies of users' disks go only while every state can be read,
no run is on, and no orphan is on that host that might use one.
"""

import logging
from dataclasses import dataclass, field

from celery import shared_task

from orchestration.errors import StateError, TestbedError
from orchestration.hosts import Hosts, require_answer
from orchestration.stale_files import remove_files, stale_artefacts, unused_copies
from orchestration.state.model import State
from orchestration.transport.base import Scope
from testbed.models import Host, Run, Testbed
from testbed.tasks.orphans import last_looks, orphans_among
from testbed.tasks.worker import kept_hosts

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    """The states of testbeds that nobody works on; `is_whole`: of all there are."""

    states: dict[str, State] = field(default_factory=dict)
    is_whole: bool = True


@shared_task(ignore_result=True)
def sweep_files() -> None:
    """Remove what is stale on every host that answers."""
    sweep_files_of(kept_hosts())


def sweep_files_of(hosts: Hosts) -> int:
    """Remove what is stale; return how many files that were."""
    known = _known()
    with_orphans = {orphan.host for orphan in orphans_among(last_looks())}
    removed = 0
    for row in Host.objects.all():
        may_drop_copies = known.is_whole and row.name not in with_orphans
        try:
            removed += _sweep_host(row, hosts, known, may_drop_copies)
        except TestbedError as exc:
            logger.info("%s is not swept: %s", row, exc)
    return removed


def _sweep_host(row: Host, hosts: Hosts, known: _Known, may_drop_copies: bool) -> int:
    require_answer(row.to_state())
    host, scope = hosts.open(row.to_state()), Scope()
    paths = stale_artefacts(host, known.states, scope=scope)
    if may_drop_copies:
        paths += unused_copies(host, list(known.states.values()), scope=scope)
    remove_files(host, paths, scope=scope)
    for path in paths:
        logger.info("%s: removed %s, which nothing refers to", row, path)
    return len(paths)


def _known() -> _Known:
    known = _Known()
    busy = set(Run.objects.active().values_list("testbed", flat=True))
    for testbed in Testbed.objects.all():
        project = testbed.project
        if testbed.pk in busy:
            known.is_whole = False
        elif project.has_state():
            try:
                known.states[testbed.slug] = project.read_known()
            except StateError:
                known.is_whole = False
    return known
