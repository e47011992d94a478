"""A testbed as if it were up, whose guests are the targets of `exec`.

Its guests are on main, or on a host that is the jump host. Everything that a command in
guests reads is written as a run would write it: the state and the pinned host keys.
"""

from pathlib import Path

from benchmarks.execution.site import JUMP, USER, Site, address
from orchestration.project.folder import Project
from orchestration.project.host_keys import pin_key
from orchestration.state.build import Identity, Inputs, build_state
from orchestration.state.model import (
    GuestState,
    HostState,
    ManagementInterface,
    State,
)
from tests.orchestration.state.samples import CATALOGUE, machine, spec_of

MAIN, AWAY = "main", "jump"
Place = tuple[str, Path, int]


def name_of(number: int) -> str:
    """Return the name of the guest that is a target."""
    return f"g{number}"


def deploy(project: Project, slug: str, site: Site, *, count: int, host: str) -> State:
    """Write a testbed of `count` guests on a host into its folder."""
    project.create()
    state = built(project.directory, slug, site, count=count, host=host)
    project.write_state(state)
    for guest in state.guests:
        pin_key(project, guest.name, site.server.host_key)
    return state


def built(directory: Path, slug: str, site: Site, *, count: int, host: str) -> State:
    """Return the state of `count` guests on a host."""
    public = site.key.with_suffix(".pub").read_text().strip()
    main = HostState(name=MAIN, is_main=True, projects_dir=str(directory.parent))
    jump = HostState(
        name=AWAY,
        address=JUMP,
        identity_file=str(site.key),
        host_key=site.server.host_key,
        projects_dir="/nowhere",
    )
    state = build_state(
        spec_of(*(machine(name_of(number), "br0") for number in range(count))),
        Inputs(),
        identity=Identity(slug, 1, str(directory), "", str(site.key), public),
        hosts=[main, jump],
        catalogue=CATALOGUE,
    )
    guests = (_at(guest, n, host) for n, guest in enumerate(state.guests))
    return state.model_copy(update={"guests": tuple(guests), "hosts": (main, jump)})


def _at(guest: GuestState, number: int, host: str) -> GuestState:
    """Return the guest at a target's address."""
    way = ManagementInterface(
        name="mgmt",
        network="bench",
        tap="bench",
        mac="02:00:00:00:00:01",
        address=address(number),
        prefix=16,
    )
    return guest.model_copy(update={"host": host, "user": USER, "management": way})
