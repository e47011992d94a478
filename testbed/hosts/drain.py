"""Drains hosts: what runs there goes on, and planning puts no new guests there."""

from django.db import transaction
from django.utils import timezone

from orchestration.errors import TestbedError
from orchestration.terminal import plain
from testbed.access.record import write
from testbed.celery import request_start
from testbed.models import Host
from testbed.models.hosts import wait_for_other_plans
from testbed.models.record.entries import HOSTS

MOST_REASON = 200


class DrainRefused(TestbedError):
    """The host is drained already, or is not any more."""


def drain(host: Host, by: str, reason: str) -> None:
    """Keep new guests from a host from now on. Raises: DrainRefused."""
    # One line; a form may send any character.
    said = " ".join(plain(reason.replace("\n", " ")).split())[:MOST_REASON]
    values = {"drained_by": by, "drain_reason": said}
    opened = Host.objects.filter(pk=host.pk, drained_at=None)
    with transaction.atomic():
        wait_for_other_plans()  # one that looked before starts guests there, none after
        if opened.update(drained_at=timezone.now(), **values):
            what = f"drained it: {said}" if said else "drained it"
            write(by, HOSTS, what, thing=f"host {host.name}")
            return
    there = Host.objects.filter(pk=host.pk).first()
    if there is None:
        raise DrainRefused(f"{host.name} was removed.")
    raise DrainRefused(f"{there.drained_words or f'{host.name} changed'} already.")


def end_drain(host: Host, by: str) -> None:
    """Let planning use a host again, and start what waited for it.

    Raises: DrainRefused.
    """
    drained = Host.objects.filter(pk=host.pk, drained_at__isnull=False)
    with transaction.atomic():
        if not drained.update(drained_at=None, drained_by="", drain_reason=""):
            raise DrainRefused(f"{host.name} is not drained (any more).")
        write(by, HOSTS, "ended its drain", thing=f"host {host.name}")
        transaction.on_commit(request_start)
