"""The instructions that an edited YAML adds to the plan of `up`.

They cover only the differences that `state.diff.changes` finds; `lifecycle.py` defines
their place in the order. `previous` is everything that may exist besides the wanted
state; None when nothing does.
"""

from collections.abc import Iterator
from functools import partial

from orchestration.plan.model import Instruction, Kind, Stage, count, entry
from orchestration.plan.resources import apart, changed_resources, whole_testbed
from orchestration.state.diff.changes import ChangeKind, diff
from orchestration.state.model import State


def removed_and_stopped(state: State, previous: State | None) -> Iterator[Instruction]:
    """Remove and stop exactly the changed objects, before anything is made."""
    if previous is None:
        return
    change = partial(entry, stage=Stage.APPLY_CHANGES)
    changes = diff(previous, state)

    gone = changed_resources(changes.guests, ChangeKind.REMOVE)
    title = f"Stop {count(gone, 'removed guest')}"
    yield change(Kind.STOP_GUESTS, title=title, resources=gone, of_deployed=True)

    anew = changed_resources(changes.guests, ChangeKind.RECREATE)
    changed = anew + changed_resources(changes.guests, ChangeKind.RESTART)
    title = f"Stop {count(changed, 'changed guest')}"
    yield change(Kind.STOP_CHANGED_GUESTS, title=title, resources=changed)

    links = changed_resources(changes.links, ChangeKind.REMOVE)
    title = f"Delete {count(links, 'link')}"
    yield change(Kind.DELETE_LINKS, title=title, resources=links, of_deployed=True)

    bridges = changed_resources(changes.bridges, ChangeKind.REMOVE)
    title = f"Delete {count(bridges, 'bridge')}"
    yield change(Kind.DELETE_BRIDGES, title=title, resources=bridges, of_deployed=True)

    networks = changed_resources(changes.networks, ChangeKind.REMOVE)
    title = f"Delete {count(networks, 'network')}"
    yield change(
        Kind.DELETE_NETWORKS, title=title, resources=networks, of_deployed=True
    )

    known = {(guest.name, guest.host) for guest in previous.guests}
    disks = apart((*gone, *(r for r in anew if (r.key, r.host) in known)))
    title = f"Delete {count(disks, 'disk')}"
    yield change(Kind.DELETE_DISKS, title=title, resources=disks, of_deployed=True)

    if not changed_resources(changes.guests, ChangeKind.CHANGE_LIVE):
        yield _forget(state, Stage.APPLY_CHANGES)


def changed_live(state: State, previous: State | None) -> Iterator[Instruction]:
    """Change running guests after their new bridges and artefacts exist.

    The record of their former interfaces is dropped only then: without it no later `up`
    would change them.
    """
    if previous is None:
        return
    guests = changed_resources(diff(previous, state).guests, ChangeKind.CHANGE_LIVE)
    if guests:
        stage = Stage.CHANGE_GUESTS
        title = f"Change the interfaces of {count(guests, 'running guest')}"
        yield entry(Kind.CHANGE_INTERFACES, stage, title, guests)
        yield _forget(state, stage)


def _forget(state: State, stage: Stage) -> Instruction:
    title = "Forget what was removed"
    return entry(Kind.FORGET_REMOVED, stage, title, whole_testbed(state))
