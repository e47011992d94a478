"""Deletes the orphans that an admin confirmed, host by host.

`cleanups` claims and ends the deletion. Each host is observed anew before anything is
deleted on it, and once more afterwards. Each thing is judged anew right before its
deletion: a thing that has a testbed by then stays, and one that is still there
afterwards is named.
"""

from dataclasses import replace

from django.utils import timezone

from orchestration.errors import StateError, TestbedError
from orchestration.hosts import Host as OpenedHost
from orchestration.inventory.orphans import Key, delete_thing
from orchestration.inventory.things import ThingKind, observe
from orchestration.transport.base import Scope
from orchestration.transport.reachable import require_answer
from testbed.models import Cleanup, CleanupItem, Host
from testbed.orphans.detection import Observation, Orphan, orphans_among
from testbed.worker import kept_hosts

Status = CleanupItem.Status


def delete_listed(cleanup: Cleanup) -> None:
    """Delete the things that a cleanup lists, and save the outcome of each."""
    for name in cleanup.items.order_by().values_list("host", flat=True).distinct():
        try:
            _clean_host(cleanup, name)
        except TestbedError as exc:
            left = cleanup.items.filter(host=name, status=Status.WAITING)
            left.update(status=Status.FAILED, message=exc.sentence)


def seen_now(host: OpenedHost, scope: Scope) -> dict[Key, Orphan]:
    """Return the orphans of a host as it is now. Raises: TestbedError."""
    return _by_key(_observe(host, scope))


def _observe(host: OpenedHost, scope: Scope) -> Observation:
    began = timezone.now()
    return Observation(host.state.name, observe(host, scope=scope).things, began)


def _by_key(seen: Observation) -> dict[Key, Orphan]:
    return {orphan.key: orphan for orphan in orphans_among([seen])}


def _clean_host(cleanup: Cleanup, name: str) -> None:
    row = Host.objects.filter(name=name).first()
    if row is None:
        raise StateError(f"There is no host {name} any more.")
    host, scope = kept_hosts().open(row.to_state()), Scope()
    require_answer(host.transport)
    seen = _observe(host, scope)
    orphans = _by_key(seen)
    order = list(ThingKind)
    items = sorted(
        cleanup.items.filter(host=name), key=lambda i: order.index(ThingKind(i.kind))
    )
    has_guests = False
    for item in items:
        orphan = orphans.get((name, ThingKind(item.kind), item.name))
        if orphan and (orphan.name != cleanup.name or _came_back(orphan, seen)):
            orphan = None
        if has_guests and item.kind == ThingKind.FOLDER:
            item.status, item.message = Status.FAILED, "its guests are still there"
            item.save(update_fields=["status", "message"])
        else:
            _clean_item(host, item, orphan, scope)
        has_guests |= (item.kind, item.status) == (ThingKind.DOMAIN, Status.FAILED)
    _confirm(cleanup, name, seen_now(host, scope))


def _clean_item(
    host: OpenedHost, item: CleanupItem, orphan: Orphan | None, scope: Scope
) -> None:
    if orphan is None:
        item.status = Status.UNCHANGED
        item.message = "is gone, or belongs to a testbed again"
    else:
        try:
            deleted = delete_thing(host, orphan.thing, scope=scope)
            item.status = Status.UNCHANGED
            item.message = "went with what it hung from"
            if deleted:
                item.status, item.message = Status.DONE, ""
        except TestbedError as exc:
            item.status = Status.FAILED
            item.message = exc.sentence
    item.save(update_fields=["status", "message"])


def _came_back(orphan: Orphan, seen: Observation) -> bool:
    """Return whether the thing belongs to a testbed since the look.

    The testbed was adopted, or a run began that may use the thing again.
    """
    return not orphans_among([replace(seen, things=(orphan.thing,))])


def _confirm(cleanup: Cleanup, host: str, orphans: dict[Key, Orphan]) -> None:
    """Mark each thing that is still there as failed."""
    for item in cleanup.items.filter(host=host).exclude(status=Status.FAILED):
        still = orphans.get((host, ThingKind(item.kind), item.name))
        if still is not None and still.name == cleanup.name:
            item.status = Status.FAILED
            item.message = "is still there"
            item.save(update_fields=["status", "message"])
