"""Builds a testbed's state from its folder, and a plan, before anything runs.

Reads the user's YAML and files, checks them, builds the state, and writes state.json when
the command begins: one that waits in the queue changes nothing. The parts of an earlier
state that may exist are recorded before state.json is replaced: both together are the only
record of the names in use on the hosts. Called by `runs`, and by `pages.changes` for the
page that shows the effect of an edit.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.conf import settings

from orchestration.compose.catalogue import Catalogue
from orchestration.compose.check import check
from orchestration.compose.files import FolderFiles
from orchestration.compose.language.built import require_built
from orchestration.compose.language.schema import (
    LoadBalancing,
    Spec,
)
from orchestration.errors import StateError, TestbedError
from orchestration.plan.lifecycle import Plan, plan, plan_up_guests
from orchestration.plan.model import Command, Options
from orchestration.plan.situation import Situation, without_login, without_secrets
from orchestration.project.digests import is_golden_edited, with_files_now
from orchestration.project.folder import YAML_NAME, Project
from orchestration.project.inputs import (
    disk_files_of,
    is_disk_edited,
    read_inputs,
)
from orchestration.project.keys import ensure_key_pair
from orchestration.project.passwords import salt_for
from orchestration.state.build import Identity, Site, build_state
from orchestration.state.clones import expand
from orchestration.state.diff.changes import diff
from orchestration.state.diff.deployed import union
from orchestration.state.diff.guests import context_reasons, script_reasons
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import GuestState, HostState, Markers, State
from orchestration.state.mtu import JUMBO, mtu_of
from orchestration.state.overlaps import require_free_subnets
from orchestration.state.placement import Taken, needs_of, order_hosts, place
from testbed.models import Host, Testbed
from testbed.reservations.held import held_now
from testbed.reservations.placing import closed_for
from testbed.testbeds.capacity import (
    GuestNeed,
    counted,
    parties,
    reserved_for_others,
    rest_of_hosts,
    taken_by_others,
)
from testbed.testbeds.disk_space import require_disk_space
from testbed.testbeds.findings import catalogue_of, closed_hosts, known_hosts
from testbed.testbeds.quotas import needs_after, require_quota

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command that was planned, and what is written when it begins.

    `known` has the parts that may be on the hosts and that the state has not; `needs`
    are those of all guests that will run.
    """

    state: State
    plan: Plan
    known: State | None = None
    needs: tuple[GuestNeed, ...] = ()


def planned(testbed: Testbed, command: Command, options: Options) -> Prepared:
    """Build or read the state, and plan the command; `write` gives it an effect.

    Raises: SpecError (with all findings), NotBuiltYet, StateError, ImageFailed,
    NotEnoughSpace, LimitReached, HostTooSmall, HostDrained.
    """
    state, known = _state_for(testbed, command)
    if command is Command.UP:
        _require_free_subnets(state)
    plan_ = plan(command, state, options, previous=_previous_of(testbed, state, known))
    needs = needs_after(testbed, state) if command is Command.UP else ()
    return Prepared(state, plan_, known, needs)


def planned_guests(
    testbed: Testbed, names: Collection[str], options: Options
) -> Prepared:
    """Plan Up of some guests of a deployed testbed; their edited files count.

    Raises: StateError (its YAML was edited: only all of it can follow), NotEnoughSpace,
    LimitReached, HostTooSmall, HostDrained.
    """
    project = testbed.project
    state = project.read_state()
    if project.has_unfinished_change() or is_edited(testbed, state):
        raise StateError(
            f"Testbed {testbed} was edited since it was deployed.",
            hint="Use Up: it applies the edit to the whole testbed.",
        )
    wanted = _with_files_of(state, with_files_now(project.files, state), names)
    _require_free_subnets(wanted)
    needs = needs_after(testbed, wanted, names)
    require_quota(testbed, needs)
    require_disk_space(testbed, wanted, Command.UP)
    return Prepared(wanted, plan_up_guests(wanted, options, tuple(names)), needs=needs)


def write(testbed: Testbed, wanted: State, *, is_change: bool) -> None:
    """Write the state with which a command begins; first what may exist besides.

    Keys that guests have by now are kept: it may have waited. Raises: StateError.
    """
    project = testbed.project
    now = _previous(testbed)
    if now is not None:
        wanted = _with_keys_of(now, wanted)
    if is_change:
        project.write_change(project.read_known(), wanted)
    elif wanted != now:
        project.write_state(wanted)


def _with_keys_of(now: State, wanted: State) -> State:
    """Return a state with the marks of users' keys as they are in guests now."""
    keys = {guest.name: guest.markers for guest in now.guests}
    return wanted.model_copy(
        update={"guests": tuple(_with_keys(g, keys.get(g.name)) for g in wanted.guests)}
    )


def _with_keys(guest: GuestState, now: Markers | None) -> GuestState:
    if now is None or guest.markers.user_keys in ("", now.user_keys):
        return guest
    markers = guest.markers.model_copy(update={"user_keys": now.user_keys})
    return guest.model_copy(update={"markers": markers})


def _previous_of(testbed: Testbed, wanted: State, known: State | None) -> State | None:
    """Return all that may exist while a change to `wanted` is not finished, or None."""
    project = testbed.project
    if known is None and project.has_unfinished_change():
        known = project.read_all()[-1]
    return None if known is None else union(known, wanted)


def _with_files_of(state: State, now: State, names: Collection[str]) -> State:
    """Return the state with some guests as they are now; others are not touched."""
    pairs = zip(state.guests, now.guests, strict=True)
    guests = tuple(new if new.name in names else old for old, new in pairs)
    return state.model_copy(update={"guests": guests})


def _require_free_subnets(state: State) -> None:
    """Refuse subnets that conflict with a host's network, as it was last seen."""
    rows = Host.objects.filter(name__in=[host.name for host in state.used_hosts])
    require_free_subnets(state, {row.name: row.own_network for row in rows})


def wanted_state(testbed: Testbed) -> tuple[State | None, State]:
    """Return the state that may exist, or none, and the state that the YAML wants.

    Writes nothing but the key pair. Raises: SpecError, NotBuiltYet, StateError.
    """
    project = testbed.project
    previous = _previous(testbed)
    if previous and _is_deployed(testbed) and not is_edited(testbed, previous):
        wanted = with_files_now(project.files, previous)
    else:
        wanted = _build(testbed, previous)
    if previous is None or not _may_exist(testbed, previous):
        return None, wanted
    return project.read_known(), wanted


def situation_of(testbed: Testbed) -> Situation:
    """Return what a client needs to plan a testbed's commands with its own files.

    Raises: StateError (its state cannot be read).
    """
    project, previous = testbed.project, _previous(testbed)
    spec = _spec_or_none(testbed)
    may_exist = previous is not None and _may_exist(testbed, previous)
    identity = _identity(testbed)
    return Situation(
        testbed=identity.testbed,
        number=identity.number,
        directory=identity.directory,
        identity_file=identity.identity_file,
        public_key=identity.public_key,
        golden_owner=identity.golden_owner,
        hosts=tuple(map(without_login, known_hosts())),
        images=tuple(catalogue_of(testbed.owner).values()),
        nat_pool=settings.ADDRESS_POOLS.nat,
        management_pool=settings.ADDRESS_POOLS.management,
        tunnel_kind=settings.TUNNEL_KIND,
        disk_folders=tuple(map(str, settings.DISK_FOLDERS)),
        network_cards=settings.NETWORK_CARDS,
        taken=_taken(testbed),
        closed=tuple(
            sorted(_closed(testbed, spec, previous) if spec else closed_hosts())
        ),
        most_mtu=_most_mtu(testbed, previous),
        disk_files=_disk_files(project, spec),
        is_disk_edited=previous is not None and is_disk_edited(previous),
        is_deployed=_is_deployed(testbed),
        previous=without_secrets(previous) if previous else None,
        known=without_secrets(project.read_known()) if may_exist else None,
        unfinished=(
            without_secrets(project.read_all()[-1])
            if project.has_unfinished_change()
            else None
        ),
    )


def _spec_or_none(testbed: Testbed) -> Spec | None:
    """Return the spec of a testbed's YAML, or None of one with errors."""
    try:
        spec = _spec(testbed, catalogue_of(testbed.owner), known_hosts())
        require_built(spec)
    except TestbedError:
        return None
    return spec


def _disk_files(project: Project, spec: Spec | None) -> dict[str, DiskFile]:
    """Return the users' disks on main; none where one of them is missing."""
    try:
        return {} if spec is None else disk_files_of(spec, project.files)
    except OSError:  # the checks report it
        return {}


def wanted_needs(testbed: Testbed) -> tuple[GuestNeed, ...]:
    """Return what the guests of the YAML will need, and on which hosts.

    Writes nothing, and reads no file of the guests. Raises: as `wanted_state`.
    """
    hosts = known_hosts()
    spec = _spec(testbed, catalogue_of(testbed.owner), hosts)
    require_built(spec)
    is_balanced = spec.testbed_options.load_balancing is LoadBalancing.BALANCED
    machines, previous = expand(spec).spec, _previous(testbed)
    places = place(
        machines,
        order_hosts(hosts),
        previous,
        taken=_taken(testbed) if is_balanced else None,
        closed=_closed(testbed, spec, previous),
    )
    return tuple(
        GuestNeed(one.name, places.guests[one.name], Taken(*needs_of(one)))
        for one in machines.machines
    )


def _state_for(testbed: Testbed, command: Command) -> tuple[State, State | None]:
    """Return a command's state, and what may exist besides if that is recorded then."""
    project = testbed.project
    if command in (Command.DOWN, Command.CLEAR_ARTEFACTS):
        return _existing(project, command), None
    if command == Command.GENERATE_ARTEFACTS and _is_deployed(testbed):
        deployed = project.read_state()
        _refuse_changes(deployed, _build(testbed, deployed))
        return deployed, None
    if _is_deployed(testbed) and not is_edited(testbed, project.read_state()):
        # As it is, but for the digests of edited files.
        now = with_files_now(project.files, project.read_state())
        _require_room(testbed, now, command)
        return now, None
    known, wanted = wanted_state(testbed)
    _require_room(testbed, wanted, command)
    if known is None or diff(known, wanted).is_empty:
        return wanted, None
    return wanted, known


def _require_room(testbed: Testbed, state: State, command: Command) -> None:
    """Let a command start guests and make their disks. Raises: as `planned`."""
    if command is Command.UP:
        require_quota(testbed, needs_after(testbed, state))
    require_disk_space(testbed, state, command)


def is_edited(testbed: Testbed, state: State) -> bool:
    """Return whether the YAML differs from the one that the state was built from.

    Edited scripts run again without a new state. A shared script, and the context that
    is there when it runs, make another golden image. A user's disk has another copy.
    """
    project = testbed.project
    is_other_yaml = project.yaml_sha256() != state.yaml_sha256
    is_other = is_other_yaml or is_golden_edited(project.files, state)
    return is_other or is_disk_edited(state)


def has_edited_files(testbed: Testbed, state: State) -> bool:
    """Return whether a guest's script or context differs from the current files."""
    now = with_files_now(testbed.project.files, state)
    pairs = zip(state.guests, now.guests, strict=True)
    return any(script_reasons(*pair) or context_reasons(*pair) for pair in pairs)


def _is_deployed(testbed: Testbed) -> bool:
    return testbed.condition in Testbed.DEPLOYED and testbed.project.has_state()


def _may_exist(testbed: Testbed, state: State) -> bool:
    """Return whether parts of it may be on a host, running or as kept disks."""
    has_disks = any(guest.markers.disk for guest in state.guests)
    unfinished = testbed.project.has_unfinished_change()
    return testbed.condition in Testbed.DEPLOYED or has_disks or unfinished


def _previous(testbed: Testbed) -> State | None:
    """Return the previous state; an unreadable one is an error only when deployed."""
    project = testbed.project
    if not project.has_state():
        return None
    try:
        return project.read_state()
    except StateError as exc:
        if testbed.condition in Testbed.DEPLOYED:
            raise
        logger.info("%s: a new state is built: %s", project.directory, exc)
        return None


def _existing(project: Project, command: Command) -> State:
    if not project.has_state():
        what = "stopped" if command == Command.DOWN else "deleted"
        raise StateError(
            f"There is nothing to be {what}: this testbed is a draft.",
            hint="Use Up or Generate artefacts first.",
        )
    return project.read_state()


def _build(testbed: Testbed, previous: State | None) -> State:
    project = testbed.project
    catalogue = catalogue_of(testbed.owner)
    hosts = known_hosts()
    spec = _spec(testbed, catalogue, hosts)
    require_built(spec)
    is_balanced = spec.testbed_options.load_balancing is LoadBalancing.BALANCED
    identity = _identity(testbed)
    salt = salt_for(identity.public_key, previous)
    return build_state(
        spec,
        read_inputs(project.files, spec, salt=salt),
        identity=identity,
        hosts=hosts,
        catalogue=catalogue,
        previous=previous,
        site=Site(settings.TUNNEL_KIND, settings.ADDRESS_POOLS),
        taken=_taken(testbed) if is_balanced else None,
        closed=_closed(testbed, spec, previous),
        most_mtu=_most_mtu(testbed, previous),
    )


def _taken(testbed: Testbed) -> dict[str, Taken]:
    """Return what other testbeds use, and what reservations keep from this one."""
    taken = taken_by_others(testbed)
    for host, kept in reserved_for_others(testbed).items():
        taken[host] = taken.get(host, Taken()) + kept
    return taken


def _closed(testbed: Testbed, spec: Spec, previous: State | None) -> frozenset[str]:
    """Return the hosts for none of the new guests: drained, or reserved for others."""
    drained, held = closed_hosts(), held_now(parties())
    if not held:
        return drained
    disks = {g.name for g in previous.guests if g.markers.disk} if previous else set()
    machines = expand(spec).spec.machines
    new = [Taken(*needs_of(one)) for one in machines if one.name not in disks]
    rest = rest_of_hosts(counted())
    for name in drained:
        rest.pop(name, None)
    owner, group = testbed.owner_id, testbed.charged_group_id
    return drained | closed_for(held, new, rest, owner=owner, group=group)


def _most_mtu(testbed: Testbed, previous: State | None) -> int:
    """Return the MTU of running guests, as a larger one is no reason for a restart."""
    is_up = previous is not None and testbed.condition in Testbed.DEPLOYED
    return (mtu_of(previous) if previous and is_up else 0) or JUMBO


def _spec(testbed: Testbed, catalogue: Catalogue, hosts: list[HostState]) -> Spec:
    project = testbed.project
    if not project.yaml.is_file():
        raise StateError(
            f"This testbed has no {YAML_NAME}.", hint="Upload one, then try again."
        )
    return check(
        project.read_yaml(),
        files=FolderFiles(project.files),
        catalogue=catalogue,
        testbed_name=testbed.slug,
        image_folders=list(map(FolderFiles, settings.DISK_FOLDERS)),
        network_cards=settings.NETWORK_CARDS,
        ranges=settings.ADDRESS_POOLS.ranges(testbed.number),
        hosts=hosts,
    ).require()


def _identity(testbed: Testbed) -> Identity:
    project = testbed.project
    project.create()
    return Identity(
        testbed=testbed.slug,
        number=testbed.number,
        directory=str(project.directory),
        yaml_sha256=project.yaml_sha256(),
        identity_file=str(project.identity_file),
        public_key=ensure_key_pair(project.identity_file, testbed.slug),
        golden_owner="" if settings.SHARE_GOLDEN_IMAGES else str(testbed.owner_id),
    )


def _refuse_changes(deployed: State, wanted: State) -> None:
    """Raise StateError naming the changes to parts that are running."""
    before = {guest.name: guest for guest in deployed.guests}
    after = {guest.name: guest for guest in wanted.guests}
    changed = [n for n in before if n in after and _differ(before[n], after[n])]
    changes = [
        *_named("added", after.keys() - before.keys()),
        *_named("removed", before.keys() - after.keys()),
        *_named("changed", changed),
    ]
    if deployed.network != wanted.network and not changes:
        changes = ["the network changed"]
    if changes:
        raise StateError(
            "The artefacts cannot be generated again while the testbed is up: "
            f"{'; '.join(changes)}.",
            hint="Use Up: it applies the change, and shows before what it will do.",
        )


def _differ(one: GuestState, other: GuestState) -> bool:
    return one.spec_hash != other.spec_hash or one.host != other.host


def _named(what: str, names: Iterable[str]) -> list[str]:
    found = sorted(names)
    return [f"{what}: {', '.join(found)}"] if found else []
