"""Adds hosts by their requirements: begun by an admin, checked by a worker.

A page asks for a check and reads rows; `check_new_host` alone speaks to the host. With
all that is required found in one check, `checks.add_host` makes the `Host`, as
`manage.py add_host` does.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from celery import shared_task
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from orchestration.errors import HostKeyMismatch, StateError, TestbedBusy, TestbedError
from orchestration.hosts import Hosts
from orchestration.providers.linux.basics import read_basics
from orchestration.terminal import plain
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from orchestration.transport.reachable import HOST
from orchestration.transport.ssh.first_contact import ask_host_key, host_key_of
from testbed.access.record import write
from testbed.celery import request_host_check, request_observation
from testbed.hosts.checks import add_host
from testbed.hosts.contact import contact
from testbed.hosts.requirements import REQUIREMENTS, Requirement, Site, Verdict, check
from testbed.models import Host, HostFinding, NewHost
from testbed.models.checks.new_hosts import LOST_AFTER, MOST_TEXT, SEND_AGAIN_AFTER
from testbed.models.record.entries import HOSTS

logger = logging.getLogger(__name__)
Outcome = HostFinding.Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement of a new host with its last finding; None before a check."""

    requirement: Requirement
    finding: HostFinding | None

    @property
    def outcome(self) -> str:
        """Return `ok`, `lacking`, `skipped`, or empty before a check."""
        return self.finding.outcome if self.finding else ""

    @property
    def is_ok(self) -> bool:
        """Return whether it was found."""
        return self.outcome == Outcome.OK


def rows_of(new: NewHost) -> list[Row]:
    """Return all requirements in order, with what was found last."""
    found = {one.requirement: one for one in new.findings.all()}
    return [Row(one, found.get(one.key)) for one in REQUIREMENTS]


def may_be_added(rows: Iterable[Row]) -> bool:
    """Return whether everything that is required was found."""
    return all(row.is_ok for row in rows if row.requirement.is_required)


def lacks_optional(rows: Iterable[Row]) -> list[str]:
    """Return the titles of what is not required and was not found."""
    among = (row for row in rows if not row.requirement.is_required)
    return [row.requirement.title for row in among if not row.is_ok]


def ask_for_check(new: NewHost, wanted: str, by: str) -> None:
    """Ask the workers for a check. Raises: TestbedBusy (one is under way)."""
    if not new.ask(wanted, by):
        raise TestbedBusy(
            f"{new.name} is being checked already.", hint="Wait until that is over."
        )
    transaction.on_commit(partial(request_host_check, new.pk))


def begin(new: NewHost, by: User) -> None:
    """Save a host that is to be added, and ask for its first check."""
    new.begun_by = by.get_username()
    with transaction.atomic():
        new.save()
        what = f"began to add it at {new.address or 'main'}"
        write(by, HOSTS, what, thing=f"host {new}")
        ask_for_check(new, NewHost.ALL, by.get_username())


def done(new: NewHost, act: Callable[[NewHost], None], by: User, what: str) -> None:
    """Do an act of a lab admin on a host that is being added, and record it.

    Raises: as the act.
    """
    with transaction.atomic():
        act(new)
        write(by, HOSTS, what, thing=f"host {new}")


def discard(new: NewHost, by: User) -> None:
    """Forget a host that is being added; nothing on it was changed."""
    with transaction.atomic():
        write(by, HOSTS, "gave up adding it", thing=f"host {new}")
        new.delete()


def confirm_key(new: NewHost, fingerprint: str, by: str) -> None:
    """Pin the key that an admin compared, and check the rest.

    Raises: HostKeyMismatch (the host has shown another one since, or none), StateError
    (one was confirmed before).
    """
    if not new.seen_key or host_key_of(new.seen_key).fingerprint != fingerprint:
        raise HostKeyMismatch(
            f"{new.name} has another key than the one that was confirmed.",
            hint="Look at the fingerprint again, and compare it with the host's own.",
        )
    unpinned = NewHost.objects.filter(pk=new.pk, host_key="", seen_key=new.seen_key)
    if not unpinned.update(
        host_key=new.seen_key, confirmed_by=by, confirmed_at=timezone.now()
    ):
        raise _not_pinned(new)
    new.ask(NewHost.ALL, by)
    transaction.on_commit(partial(request_host_check, new.pk))


def _not_pinned(new: NewHost) -> TestbedError:
    """Return why the key that an admin compared was not pinned just now."""
    there = NewHost.objects.filter(pk=new.pk).first()
    if there is None:
        return StateError(f"{new.name} is not being added any more.")
    if there.host_key:
        pinned = host_key_of(there.host_key)
        return StateError(
            f"A key of {new.name} was confirmed already, by {there.confirmed_by}: "
            f"{pinned.kind} {pinned.fingerprint}.",
            hint="If that is wrong, discard this host and add it again.",
        )
    return HostKeyMismatch(
        f"{new.name} answered with another key just now.",
        hint="Look at the fingerprint again, and compare it with the host's own.",
    )


def send_checks_again() -> int:
    """Send the checks that no worker took, and end those whose worker was lost."""
    now = timezone.now()
    lost = NewHost.objects.filter(
        status=NewHost.Status.RUNNING, started_at__lt=now - LOST_AFTER
    )
    message = "The worker that checked it was lost. Check again."
    count = lost.update(status=NewHost.Status.IDLE, message=message)
    waiting = NewHost.objects.filter(
        status=NewHost.Status.PENDING, asked_at__lt=now - SEND_AGAIN_AFTER
    )
    for pk in waiting.values_list("pk", flat=True):
        request_host_check(pk)
        count += 1
    return count


@shared_task(name="testbed.tasks.hosts.check_new_host", ignore_result=True)
def check_new_host(pk: int) -> None:
    """Check what was asked for, and add the host if that was asked for, too."""
    new = NewHost.objects.filter(pk=pk).first()
    if new is None or not new.claim():
        return
    message = "The check ended with an unexpected error; the worker's log has it."
    try:
        message = _checked(new)
    finally:
        new.finish(message)
    confirmed = NewHost.objects.filter(pk=pk).exclude(host_key=new.host_key).first()
    if confirmed is not None and confirmed.ask(NewHost.ALL, confirmed.confirmed_by):
        request_host_check(pk)  # the rows are those from before


def _checked(new: NewHost) -> str:
    """Return why the host was not added; empty if nothing is to be said."""
    hosts = Hosts(settings.RUNTIME_DIR)
    try:
        _check(new, hosts)
    finally:
        hosts.close()
    if new.wanted != NewHost.ADD:
        return ""
    if not may_be_added(rows_of(new)):
        return f"{new.name} was not added: something that it needs is lacking by now."
    return _added(new)


def _check(new: NewHost, hosts: Hosts) -> None:
    opened = hosts.open(new.as_host().to_state())
    ask = partial(
        ask_host_key,
        new.name,
        new.address,
        new.port,
        limits=HOST,
        runtime_dir=settings.RUNTIME_DIR,
    )
    first = contact(new, ask, opened.transport, _known_keys())
    if first.seen_key and first.seen_key != new.seen_key:
        NewHost.objects.filter(pk=new.pk).update(seen_key=first.seen_key)
    _save(new, first.verdicts)
    known = {row.requirement.key: row.outcome for row in rows_of(new)}
    known |= {key: verdict.outcome for key, verdict in first.verdicts.items()}
    site = Site(new.as_host(), opened, settings.ADDRESS_POOLS, _identity_here())
    for requirement, verdict in check(site, new.wanted, known):
        _save(new, {requirement.key: verdict})


def _identity_here() -> str:
    here = LocalTransport("main")
    return read_basics(here, "/", scope=Scope()).identity


def _known_keys() -> dict[str, str]:
    """Return the hosts' names by their pinned keys."""
    pinned = Host.objects.exclude(host_key="").values_list("name", "host_key")
    return {" ".join(key.split()[:2]): name for name, key in pinned}


def _save(new: NewHost, verdicts: Mapping[str, Verdict]) -> None:
    for key, verdict in verdicts.items():
        HostFinding.objects.update_or_create(
            new_host=new,
            requirement=key,
            defaults={
                "outcome": verdict.outcome,
                "observed": plain(" ".join(verdict.observed.split()))[:MOST_TEXT],
                "command": verdict.command,
                "on_main": verdict.on_main,
                "checked_at": timezone.now(),
            },
        )


def _added(new: NewHost) -> str:
    host = new.as_host()
    try:
        host.full_clean()
        add_host(host)
    except ValidationError as exc:
        return f"{new.name} was not added: {' '.join(exc.messages)}"
    except TestbedError as exc:
        return f"{new.name} was not added: {exc.sentence}"
    except IntegrityError:
        return f"{new.name} was not added: another host has its name by now."
    what = f"added at {host.address or 'main'}, by the checks of its page"
    write(new.asked_by, HOSTS, what, thing=f"host {host.name}", address="")
    new.delete()
    request_observation()
    return ""
