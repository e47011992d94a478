"""State + command → Plan: the order of all instructions, in this one file.

A `plan_` function lists a command's instructions from top to bottom, one a line; the
instructions run one after the other, the resources of one at once. An instruction
without resources is left out. Pure; nothing is looked up on any machine, so that the
same state always gives the same plan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from orchestration.plan.captures import point_of
from orchestration.plan.edits import changed_live, removed_and_stopped
from orchestration.plan.execution import Execution, Form
from orchestration.plan.images import ImageWish
from orchestration.plan.model import (
    Command,
    Instruction,
    Kind,
    Options,
    Plan,
    Resource,
    Resources,
    Stage,
    count,
    entry,
    numbered,
)
from orchestration.plan.power import Verb
from orchestration.plan.resources import (
    apart,
    bridge_resources,
    clone_host_resources,
    golden_resources,
    guest_resources,
    host_resources,
    image_resources,
    link_resources,
    network_resources,
    remote_guest_resources,
    remote_image_resources,
    whole_testbed,
)
from orchestration.plan.selected import part_with
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.state.model import State

__all__ = [
    "LIFECYCLE",
    "Plan",
    "plan",
    "plan_check",
    "plan_clear_artefacts",
    "plan_down",
    "plan_exec",
    "plan_generate_artefacts",
    "plan_power",
    "plan_save_images",
    "plan_snapshot",
    "plan_up",
    "plan_up_guests",
]
Planner = Callable[[State, Options, State | None], Plan]


def plan(
    command: Command,
    state: State,
    options: Options | None = None,
    *,
    previous: State | None = None,
) -> Plan:
    """Plan a command of the lifecycle.

    `previous` is everything that may exist besides `state`.
    """
    return _PLANNERS[command](state, options or Options(), previous)


def plan_generate_artefacts(
    state: State, options: Options, previous: State | None = None
) -> Plan:
    """Write domain XML and seed of each guest."""
    return numbered(
        Command.GENERATE_ARTEFACTS,
        options,
        (_init(state), _generate_artefacts(state), _end()),
    )


def plan_up(state: State, options: Options, previous: State | None = None) -> Plan:
    """Create and start everything; finished parts are left unchanged.

    Objects that `previous` has and `state` has not are removed before anything is made.
    """
    return numbered(
        Command.UP,
        options,
        (
            _init(state),
            _check_artefacts(state),
            _generate_artefacts(state),
            _check_hosts(state),
            _prepare_hosts(state),
            _ensure_firewall(state),
            *removed_and_stopped(state, previous),
            *_ensure_network(state),
            *_golden_images(state),
            *_linked_clones(state),
            *_distribute(state),
            *changed_live(state, previous),
            *_run_guests(state),
            _end(),
        ),
    )


def plan_down(state: State, options: Options, previous: State | None = None) -> Plan:
    """Stop and remove everything possible; disks and the state stay."""
    tear_down = _known(_tear_down, state, previous)
    return numbered(Command.DOWN, options, (_init(state), *tear_down, _end()))


def plan_clear_artefacts(
    state: State, options: Options, previous: State | None = None
) -> Plan:
    """Stop everything, then remove the generated files.

    Unlike `down` this stops at the first instruction that fails: the state is the only
    record of everything that still runs, so it is removed last.
    """
    tear_down = _known(_tear_down, state, previous)
    return numbered(
        Command.CLEAR_ARTEFACTS,
        options,
        (
            _init(state),
            *(replace(found, keep_going=False) for found in tear_down),
            *_known(_clear_hosts, state, previous),
            _clear_artefacts(state),
            _end(),
        ),
    )


def plan_exec(state: State, execution: Execution, names: Sequence[str]) -> Plan:
    """Do one thing on the guests or hosts named; all at once, or in groups in turn.

    A capture names its place itself. A failure on some of them does not keep the others from it.
    """
    chosen = _targets(state, execution, names)
    conditions = execution.conditions
    together = len(chosen)
    if conditions.in_order:
        together = conditions.parallel or 1
    groups = (chosen[i : i + together] for i in range(0, len(chosen), together))
    return numbered(
        Command.EXEC,
        Options(),
        (*(_execute(execution, group) for group in groups), _end()),
        execution=execution,
    )


def plan_power(state: State, verb: Verb, guests: Sequence[str]) -> Plan:
    """Start, stop, pause or reboot the guests named, whether or not others fail."""
    resources = guest_resources(state.guest(name) for name in guests)
    title = f"{verb.title} {count(resources, 'guest')}"
    change = entry(verb.kind, Stage.POWER, title, resources, keep_going=True)
    return numbered(Command.POWER, Options(), (change, _end()))


def plan_snapshot(state: State, wish: SnapshotWish, guests: Sequence[str]) -> Plan:
    """Take, restore, delete or rename a snapshot of each guest named.

    A restore that is to keep the present state begins only when that is kept.
    """
    if wish.is_group:
        whole = (*_group_snapshot(state, wish), _end())
        return numbered(Command.SNAPSHOT, Options(), whole, snapshot=wish)
    resources = guest_resources(state.guest(name) for name in guests)
    on, act = count(resources, "guest"), _SNAPSHOT_KINDS[wish.verb]
    entries = [entry(act, Stage.SNAPSHOTS, f"{wish.sentence} of {on}", resources)]
    if wish.before:
        title = f"Take snapshot {wish.before} of {on}"
        first = entry(Kind.CREATE_SNAPSHOTS, Stage.SNAPSHOTS, title, resources)
        entries.insert(0, first)
    return numbered(Command.SNAPSHOT, Options(), (*entries, _end()), snapshot=wish)


def plan_save_images(state: State, wish: ImageWish) -> Plan:
    """Save the disks of guests as images, which are off meanwhile.

    Those that are shut down for it start again, also where saving failed.
    """
    saved = guest_resources(state.guest(name) for name in wish.files)
    running = guest_resources(state.guest(name) for name in wish.running)
    on = count(running, "guest")
    title = f"Save {count(saved, 'guest')} as {'images' if saved[1:] else 'an image'}"
    entries = (
        entry(Kind.SHUT_DOWN, Stage.POWER, f"Shut down {on}", running),
        entry(Kind.SAVE_IMAGES, Stage.SAVE_IMAGES, title, saved, keep_going=True),
        entry(Kind.POWER_ON, Stage.POWER, f"Start {on}", running),
        _end(),
    )
    return numbered(Command.SAVE_IMAGE, Options(), entries, image=wish)


def plan_up_guests(state: State, options: Options, guests: Sequence[str]) -> Plan:
    """Create and start the guests named; others, and hosts without them, are left.

    It is `up` of a part of the testbed, with the networks on the part's hosts.
    """
    part = part_with(state, guests)
    names = tuple(guest.name for guest in part.guests)
    whole = plan_up(part, replace(options, guests=names))
    return replace(whole, command=Command.UP_GUESTS)


def plan_check(state: State, guests: Sequence[str]) -> Plan:
    """Look whether the guests named can be reached, and why not."""
    resources = guest_resources(state.guest(name) for name in guests)
    title = f"Check {count(resources, 'guest')}"
    check = entry(Kind.CHECK_GUESTS, Stage.CHECK, title, resources, keep_going=True)
    return numbered(Command.CHECK, Options(), (check, _end()))


_PLANNERS: Mapping[Command, Planner] = {
    Command.GENERATE_ARTEFACTS: plan_generate_artefacts,
    Command.CLEAR_ARTEFACTS: plan_clear_artefacts,
    Command.UP: plan_up,
    Command.DOWN: plan_down,
}
_KINDS = {
    Form.PUSH: Kind.PUSH_FILES,
    Form.FETCH: Kind.FETCH_FILES,
    Form.CAPTURE: Kind.CAPTURE_PACKETS,
    Form.SERIAL_LOG: Kind.FETCH_SERIAL_LOGS,
}
_SNAPSHOT_KINDS = {
    SnapshotVerb.CREATE: Kind.CREATE_SNAPSHOTS,
    SnapshotVerb.RESTORE: Kind.RESTORE_SNAPSHOTS,
    SnapshotVerb.DELETE: Kind.DELETE_SNAPSHOTS,
    SnapshotVerb.RENAME: Kind.RENAME_SNAPSHOTS,
}
_GROUP_KINDS = {
    SnapshotVerb.CREATE: Kind.CREATE_GROUP_SNAPSHOT,
    SnapshotVerb.RESTORE: Kind.RESTORE_GROUP_SNAPSHOT,
    SnapshotVerb.DELETE: Kind.FORGET_GROUP_SNAPSHOT,
}
# They change the whole testbed, and nothing else runs on it meanwhile.
LIFECYCLE = tuple(_PLANNERS)


def _group_snapshot(state: State, wish: SnapshotWish) -> Iterator[Instruction]:
    """Act on all guests at one moment, which takes one task; a deletion needs none."""
    guests, whole = guest_resources(state.guests), whole_testbed(state)
    on, stage = count(guests, "guest"), Stage.SNAPSHOTS
    if wish.before:
        title = f"Take group snapshot {wish.before} of {on}"
        yield entry(Kind.CREATE_GROUP_SNAPSHOT, stage, title, whole)
    title = f"{wish.sentence} of {on}"
    if wish.verb is SnapshotVerb.DELETE:
        yield entry(Kind.DELETE_SNAPSHOTS, stage, title, guests)
        title = f"Forget group snapshot {wish.name}"
    yield entry(_GROUP_KINDS[wish.verb], stage, title, whole)


def _init(state: State) -> Instruction:
    return entry(Kind.INIT, Stage.PREPARE, "Begin", whole_testbed(state))


def _check_artefacts(state: State) -> Instruction:
    title, stage = "Check the state and the artefacts", Stage.CHECK_ARTEFACTS
    return entry(Kind.CHECK_ARTEFACTS, stage, title, whole_testbed(state))


def _generate_artefacts(state: State) -> Instruction:
    resources = guest_resources(state.started, host=state.main.name)
    title = f"Generate the artefacts of {count(resources, 'guest')}"
    return entry(Kind.GENERATE_ARTEFACTS, Stage.CHECK_ARTEFACTS, title, resources)


def _check_hosts(state: State) -> Instruction:
    hosts = host_resources(state)
    title = f"Check {count(hosts, 'host')}"
    return entry(Kind.CHECK_HOSTS, Stage.CHECK_HOSTS, title, hosts)


def _prepare_hosts(state: State) -> Instruction:
    hosts = host_resources(state)
    title = f"Prepare the folders on {count(hosts, 'host')}"
    return entry(Kind.PREPARE_HOSTS, Stage.PREPARE_HOSTS, title, hosts)


def _ensure_firewall(state: State) -> Instruction:
    """Guard the hosts before anything of a guest is there; `down` leaves it."""
    hosts = host_resources(state)
    title = f"Ensure the firewall of {count(hosts, 'host')}"
    return entry(Kind.ENSURE_FIREWALL, Stage.PREPARE_HOSTS, title, hosts)


def _ensure_network(state: State) -> Iterator[Instruction]:
    stage = Stage.NETWORK

    networks = network_resources(state)
    title = f"Create {count(networks, 'network')}"
    yield entry(Kind.ENSURE_NETWORKS, stage, title, networks)

    bridges = bridge_resources(state)
    title = f"Create {count(bridges, 'bridge')}"
    yield entry(Kind.ENSURE_BRIDGES, stage, title, bridges)

    links = link_resources(state)
    title = f"Create {count(links, 'link')}"
    yield entry(Kind.ENSURE_LINKS, stage, title, links)


def _golden_images(state: State) -> Iterator[Instruction]:
    """Make the images of clones; their base images have to exist before."""
    if not state.goldens:
        return
    yield _fetch_images(state, Stage.GOLDEN_IMAGES)

    goldens = golden_resources(state)
    title = f"Prepare {count(goldens, 'golden image')}"
    yield entry(Kind.PREPARE_GOLDENS, Stage.GOLDEN_IMAGES, title, goldens)


def _linked_clones(state: State) -> Iterator[Instruction]:
    stage = Stage.LINKED_CLONES

    pushed = remote_image_resources(state, of_clones=True)
    title = f"Copy {count(pushed, 'image')} to other hosts"
    yield entry(Kind.PUSH_GOLDENS, stage, title, pushed)

    hosts = clone_host_resources(state)
    title = f"Create the disks of clones on {count(hosts, 'host')}"
    yield entry(Kind.CREATE_CLONE_DISKS, stage, title, hosts)

    clones = guest_resources(guest for guest in state.guests if guest.golden)
    title = f"Create {count(clones, 'linked clone')}"
    yield entry(Kind.CREATE_CLONES, stage, title, clones)


def _fetch_images(state: State, stage: Stage) -> Instruction:
    images = image_resources(state)
    title = f"Fetch {count(images, 'image')}"
    return entry(Kind.FETCH_IMAGES, stage, title, images)


def _distribute(state: State) -> Iterator[Instruction]:
    stage = Stage.DISTRIBUTE

    if not state.goldens:
        yield _fetch_images(state, stage)

    pushed = remote_image_resources(state)
    title = f"Copy {count(pushed, 'image')} to other hosts"
    yield entry(Kind.PUSH_IMAGES, stage, title, pushed)

    remote = remote_guest_resources(state)
    title = f"Copy the artefacts of {count(remote, 'guest')} to other hosts"
    yield entry(Kind.PUSH_ARTEFACTS, stage, title, remote)

    guests = guest_resources(guest for guest in state.guests if not guest.golden)
    title = f"Create {count(guests, 'disk')}"
    yield entry(Kind.CREATE_DISKS, stage, title, guests)


def _run_guests(state: State) -> Iterator[Instruction]:
    guests = guest_resources(state.guests)
    title = f"Start {count(guests, 'guest')}"
    yield entry(Kind.START_GUESTS, Stage.START_GUESTS, title, guests)

    title = f"Set up {count(guests, 'guest')}"
    yield entry(Kind.SET_UP_GUESTS, Stage.SET_UP_GUESTS, title, guests)

    scripted = guest_resources(guest for guest in state.guests if guest.run_script)
    title = f"Run the scripts of {count(scripted, 'guest')}"
    yield entry(Kind.RUN_SCRIPTS, Stage.RUN_SCRIPTS, title, scripted)


def _tear_down(state: State) -> Iterator[Instruction]:
    """Remove the objects of `up` in reverse order, despite failures."""
    guests = guest_resources(state.guests)
    title = f"Stop {count(guests, 'guest')}"
    stage = Stage.STOP_GUESTS
    yield entry(Kind.STOP_GUESTS, stage, title, guests, keep_going=True)

    links = link_resources(state)
    title = f"Delete {count(links, 'link')}"
    stage = Stage.REMOVE_NETWORK
    yield entry(Kind.DELETE_LINKS, stage, title, links, keep_going=True)

    bridges = bridge_resources(state)
    title = f"Delete {count(bridges, 'bridge')}"
    yield entry(Kind.DELETE_BRIDGES, stage, title, bridges, keep_going=True)

    networks = network_resources(state)
    title = f"Delete {count(networks, 'network')}"
    yield entry(Kind.DELETE_NETWORKS, stage, title, networks, keep_going=True)

    hosts = host_resources(state)
    title = f"Clean up {count(hosts, 'host')}"
    yield entry(Kind.CLEAN_HOSTS, Stage.CLEAN_UP, title, hosts, keep_going=True)


def _known(
    entries: Callable[[State], Iterator[Instruction]],
    state: State,
    previous: State | None,
) -> Iterator[Instruction]:
    """Work on everything that may exist; repeated names then get their host."""
    for found in entries(previous or state):
        if previous is None:
            yield found
        else:
            resources = apart(found.resources)
            yield replace(found, resources=resources, of_deployed=True)


def _clear_hosts(state: State) -> Iterator[Instruction]:
    resources = tuple(r for r in host_resources(state) if r.host != state.main.name)
    title = f"Remove the folders on {count(resources, 'other host')}"
    yield entry(Kind.CLEAR_HOSTS, Stage.CLEAN_UP, title, resources)


def _clear_artefacts(state: State) -> Instruction:
    title, stage = "Remove the artefacts and the state", Stage.CLEAN_UP
    return entry(Kind.CLEAR_ARTEFACTS, stage, title, whole_testbed(state))


def _targets(state: State, execution: Execution, names: Sequence[str]) -> Resources:
    if execution.capture is not None:
        point = point_of(state, execution.capture)
        return (Resource(point.name, point.host, point.name),)
    if execution.is_on_hosts:
        return tuple(Resource(name, name, name) for name in names)
    return guest_resources(state.guest(name) for name in names)


def _execute(execution: Execution, resources: Resources) -> Instruction:
    title = f"{execution.title} on {_places(execution, resources)}"
    kind = _KINDS.get(execution.form, Kind.RUN_PROGRAM)
    if execution.is_on_hosts:
        kind = Kind.RUN_ON_HOST
    return entry(kind, Stage.EXECUTE, title, resources, keep_going=True)


def _places(execution: Execution, resources: Resources) -> str:
    if execution.capture is not None and execution.capture.bridge:
        return execution.capture.place
    return count(resources, execution.targets.noun)


def _end() -> Instruction:
    return entry(Kind.END, Stage.FINISH, "End", ())
