"""State + command → Plan: the order of everything that happens, in this one file.

Read a `plan_` function from top to bottom and you know what the command does. Each
line is one instruction; the instructions run one after the other, the resources of
one at once. An instruction without resources is left out. Pure; nothing is looked up
on any machine, so that the same state always gives the same plan.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from orchestration.errors import StateError
from orchestration.instructions.base import (
    Command,
    Instruction,
    Options,
    Stage,
)
from orchestration.instructions.kinds import Kind
from orchestration.instructions.resources import (
    Resources,
    bridge_resources,
    guest_resources,
    host_resources,
    image_resources,
    link_resources,
    network_resources,
    remote_guest_resources,
    remote_image_resources,
    whole_testbed,
)
from orchestration.state.model import State


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order; `instructions[i].index == i`."""

    command: Command
    options: Options
    instructions: tuple[Instruction, ...]

    def to_json(self) -> str:
        """Return the plan as one line of JSON."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Plan":
        """Read what `to_json` wrote. Raises: StateError."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as exc:
            raise StateError(
                "A stored plan cannot be read.",
                hint="Start the command again.",
                detail=str(exc)[:2000],
            ) from exc

    def to_text(self) -> str:
        """Return the plan for reading: instructions, and below each its resources."""
        switches = (
            " --provision" if self.options.provision else "",
            " --rerun-scripts" if self.options.rerun_scripts else "",
        )
        lines = [f"{self.command}{''.join(switches)}"]
        stage = None
        for instruction in self.instructions:
            if instruction.stage is not stage:
                stage = instruction.stage
                lines += ["", stage]
            lines += _instruction_lines(instruction)
        return "\n".join(lines) + "\n"


_ADAPTER = TypeAdapter(Plan)


def plan(command: Command, state: State, options: Options | None = None) -> Plan:
    """Plan any command."""
    return _PLANNERS[command](state, options or Options())


def plan_generate_artefacts(state: State, options: Options) -> Plan:
    """Write domain XML and seed of each guest."""
    return _numbered(
        Command.GENERATE_ARTEFACTS,
        options,
        (_init(state), _generate_artefacts(state), _end()),
    )


def plan_up(state: State, options: Options) -> Plan:
    """Bring everything up; what is already so stays as it is."""
    return _numbered(
        Command.UP,
        options,
        (
            _init(state),
            _check_artefacts(state),
            _generate_artefacts(state),
            _check_hosts(state),
            _prepare_hosts(state),
            *_ensure_network(state),
            *_distribute(state),
            *_run_guests(state),
            _end(),
        ),
    )


def plan_down(state: State, options: Options) -> Plan:
    """Take everything down, as much as can be; disks and the state stay."""
    return _numbered(Command.DOWN, options, (_init(state), *_tear_down(state), _end()))


def plan_clear_artefacts(state: State, options: Options) -> Plan:
    """Take everything down, then remove what was generated.

    Unlike `down` this stops at the first instruction that fails: the state is the
    only record of what still runs, so it goes last, and only after all else went.
    """
    tear_down = (replace(entry, keep_going=False) for entry in _tear_down(state))
    return _numbered(
        Command.CLEAR_ARTEFACTS,
        options,
        (
            _init(state),
            *tear_down,
            _clear_hosts(state),
            _clear_artefacts(state),
            _end(),
        ),
    )


_PLANNERS: Mapping[Command, Callable[[State, Options], Plan]] = {
    Command.GENERATE_ARTEFACTS: plan_generate_artefacts,
    Command.CLEAR_ARTEFACTS: plan_clear_artefacts,
    Command.UP: plan_up,
    Command.DOWN: plan_down,
}


def _init(state: State) -> Instruction:
    return _entry(Kind.INIT, Stage.PREPARE, "Begin", whole_testbed(state))


def _check_artefacts(state: State) -> Instruction:
    title, stage = "Check the state and the artefacts", Stage.CHECK_ARTEFACTS
    return _entry(Kind.CHECK_ARTEFACTS, stage, title, whole_testbed(state))


def _generate_artefacts(state: State) -> Instruction:
    resources = guest_resources(state.guests, host=state.main.name)
    title = f"Generate the artefacts of {_count(resources, 'guest')}"
    return _entry(Kind.GENERATE_ARTEFACTS, Stage.CHECK_ARTEFACTS, title, resources)


def _check_hosts(state: State) -> Instruction:
    hosts = host_resources(state)
    title = f"Check {_count(hosts, 'host')}"
    return _entry(Kind.CHECK_HOSTS, Stage.CHECK_HOSTS, title, hosts)


def _prepare_hosts(state: State) -> Instruction:
    hosts = host_resources(state)
    title = f"Prepare the folders on {_count(hosts, 'host')}"
    return _entry(Kind.PREPARE_HOSTS, Stage.PREPARE_HOSTS, title, hosts)


def _ensure_network(state: State) -> Iterator[Instruction]:
    stage = Stage.NETWORK

    networks = network_resources(state)
    title = f"Create {_count(networks, 'network')}"
    yield _entry(Kind.ENSURE_NETWORKS, stage, title, networks)

    bridges = bridge_resources(state)
    title = f"Create {_count(bridges, 'bridge')}"
    yield _entry(Kind.ENSURE_BRIDGES, stage, title, bridges)

    links = link_resources(state)
    title = f"Create {_count(links, 'link')}"
    yield _entry(Kind.ENSURE_LINKS, stage, title, links)


def _distribute(state: State) -> Iterator[Instruction]:
    stage = Stage.DISTRIBUTE

    images = image_resources(state)
    title = f"Fetch {_count(images, 'image')}"
    yield _entry(Kind.FETCH_IMAGES, stage, title, images)

    pushed = remote_image_resources(state)
    title = f"Copy {_count(pushed, 'image')} to other hosts"
    yield _entry(Kind.PUSH_IMAGES, stage, title, pushed)

    remote = remote_guest_resources(state)
    title = f"Copy the artefacts of {_count(remote, 'guest')} to other hosts"
    yield _entry(Kind.PUSH_ARTEFACTS, stage, title, remote)

    guests = guest_resources(state.guests)
    title = f"Create {_count(guests, 'disk')}"
    yield _entry(Kind.CREATE_DISKS, stage, title, guests)


def _run_guests(state: State) -> Iterator[Instruction]:
    guests = guest_resources(state.guests)
    title = f"Start {_count(guests, 'guest')}"
    yield _entry(Kind.START_GUESTS, Stage.START_GUESTS, title, guests)

    title = f"Set up {_count(guests, 'guest')}"
    yield _entry(Kind.SET_UP_GUESTS, Stage.SET_UP_GUESTS, title, guests)

    scripted = guest_resources(guest for guest in state.guests if guest.run_script)
    title = f"Run the scripts of {_count(scripted, 'guest')}"
    yield _entry(Kind.RUN_SCRIPTS, Stage.RUN_SCRIPTS, title, scripted)


def _tear_down(state: State) -> Iterator[Instruction]:
    """Take down what the plan of `up` made, last things first, whatever fails."""
    guests = guest_resources(state.guests)
    title = f"Stop {_count(guests, 'guest')}"
    stage = Stage.STOP_GUESTS
    yield _entry(Kind.STOP_GUESTS, stage, title, guests, keep_going=True)

    links = link_resources(state)
    title = f"Delete {_count(links, 'link')}"
    stage = Stage.REMOVE_NETWORK
    yield _entry(Kind.DELETE_LINKS, stage, title, links, keep_going=True)

    bridges = bridge_resources(state)
    title = f"Delete {_count(bridges, 'bridge')}"
    yield _entry(Kind.DELETE_BRIDGES, stage, title, bridges, keep_going=True)

    networks = network_resources(state)
    title = f"Delete {_count(networks, 'network')}"
    yield _entry(Kind.DELETE_NETWORKS, stage, title, networks, keep_going=True)

    hosts = host_resources(state)
    title = f"Clean up {_count(hosts, 'host')}"
    yield _entry(Kind.CLEAN_HOSTS, Stage.CLEAN_UP, title, hosts, keep_going=True)


def _clear_hosts(state: State) -> Instruction:
    resources = tuple(r for r in host_resources(state) if r.host != state.main.name)
    title = f"Remove the folders on {_count(resources, 'other host')}"
    return _entry(Kind.CLEAR_HOSTS, Stage.CLEAN_UP, title, resources)


def _clear_artefacts(state: State) -> Instruction:
    title, stage = "Remove the artefacts and the state", Stage.CLEAN_UP
    return _entry(Kind.CLEAR_ARTEFACTS, stage, title, whole_testbed(state))


def _end() -> Instruction:
    return _entry(Kind.END, Stage.FINISH, "End", ())


def _count(resources: Resources, thing: str) -> str:
    """Say how many; a stretched bridge and both ends of a tunnel count once."""
    count = len({resource.key for resource in resources})
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _entry(
    kind: Kind,
    stage: Stage,
    title: str,
    resources: Resources,
    *,
    keep_going: bool = False,
) -> Instruction:
    return Instruction(0, kind, stage, title, resources, keep_going)


def _numbered(
    command: Command, options: Options, entries: Iterable[Instruction]
) -> Plan:
    """Leave out what has nothing to do, and number the rest."""
    kept = (entry for entry in entries if entry.resources or entry.kind == Kind.END)
    return Plan(
        command,
        options,
        tuple(replace(entry, index=index) for index, entry in enumerate(kept)),
    )


def _instruction_lines(instruction: Instruction) -> Iterator[str]:
    flag = " (keeps going)" if instruction.keep_going else ""
    yield f"{instruction.index:3}  {instruction.kind:<20}{instruction.title}{flag}"
    for resource in instruction.resources:
        line = f"{'':7}{resource.host:<18}{resource.name}"
        key = "" if resource.key == resource.name else f"  [{resource.key}]"
        yield line + key
