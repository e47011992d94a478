"""The files generated from a testbed's YAML, in the form that users may see.

Read from the state and the artefacts folder for the artefacts page, its downloads and
the archive. A seed's contents are built anew without its secrets, and the seed image,
which holds them, is not offered (`seed` explains that). Values that an environment calls a password or the like are hidden everywhere.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from orchestration.compose.files import open_real
from orchestration.compose.rules.scripts import SCRIPT_LIMIT_BYTES
from orchestration.errors import PathOutside, StateError, TestbedError
from orchestration.plan.lifecycle import plan
from orchestration.plan.model import Command
from orchestration.plan.situation import without_login
from orchestration.project.folder import Project
from orchestration.project.host_keys import key_file
from orchestration.providers.guest import cloud_init
from orchestration.providers.guest.seed_contents import read_from_seed
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.state.model import GuestState, ScriptState, State
from testbed.pages.seed import CONTEXT, describe_context, describe_seed, is_secret

HIDDEN = "(hidden)"
_XML_PASSWORD = re.compile(r"\b(passwd\s*=\s*)(\"[^\"]*\"|'[^']*')")


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file to look at or download; `name` is its path in the archive.

    `place` is its location as the page shows it; `read` returns its bytes, `describe`
    the text that the page shows for binary content.
    """

    name: str
    place: str
    read: Callable[[], bytes]
    describe: Callable[[], bytes] | None = None

    @property
    def title(self) -> str:
        """The file name."""
        return PurePosixPath(self.name).name


@dataclass(frozen=True, slots=True)
class GuestArtefacts:
    """The files generated for one guest; empty when a run did not get there."""

    guest: GuestState
    found: tuple[Artefact, ...]


def of_testbed(state: State) -> tuple[Artefact, ...]:
    """Return the artefacts of the whole testbed."""
    return (
        Artefact(
            "plan-up.txt", "The instructions of Up, in order", partial(_plan, state)
        ),
        Artefact(
            "state.json",
            "The meaning of the YAML on these hosts",
            partial(_state, state),
        ),
        *_networks(state),
    )


def with_artefacts(state: State) -> tuple[GuestState, ...]:
    """Return the guests, then those golden images that are started for a script."""
    return state.started


def of_guest(project: Project, state: State, guest: GuestState) -> GuestArtefacts:
    """Return one guest's artefacts that were generated."""
    return GuestArtefacts(guest, tuple(_of_guest(project, state, guest)))


def all_artefacts(project: Project, state: State) -> Iterator[Artefact]:
    """Return every artefact, those of the testbed first."""
    yield from of_testbed(state)
    for guest in with_artefacts(state):
        yield from of_guest(project, state, guest).found


def find_artefact(project: Project, state: State, name: str) -> Artefact | None:
    """Return the artefact of this name; None when there is none."""
    parts = name.split("/")
    found = of_testbed(state)
    if len(parts) > 2 and parts[0] == "guests":
        named = (g for g in with_artefacts(state) if g.name == parts[1])
        found = tuple(a for g in named for a in of_guest(project, state, g).found)
    return next((artefact for artefact in found if artefact.name == name), None)


def archived(
    project: Project, state: State, folder: str
) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Yield every artefact as a file of an archive, without any key."""
    for artefact in all_artefacts(project, state):
        yield f"{folder}/{artefact.name}", (content_of(artefact.read),)


def content_of(read: Callable[[], bytes]) -> bytes:
    """Return the bytes, or a sentence why there are none."""
    try:
        return read()
    except TestbedError as exc:
        return f"{exc.sentence}\n".encode()


def _of_guest(project: Project, state: State, guest: GuestState) -> Iterator[Artefact]:
    folder = f"guests/{guest.name}"
    xml = _kept(project, guest.xml)
    if xml.is_file():
        place = f"libvirt domain {guest.domain} on {guest.host}"
        yield Artefact(f"{folder}/domain.xml", place, partial(_xml, xml))
    if guest.seed and _kept(project, guest.seed).is_file():
        yield from _on_seed(project, state, guest)
    public = key_file(project, guest.name)
    if public.is_file():
        place = "the key by which the guest is recognised"
        yield Artefact(f"{folder}/host-key.pub", place, public.read_bytes)
    for script, when in (
        (guest.setup_script, "runs once, as root, near the end of Up"),
        (guest.run_script, "runs as root at the end of Up"),
    ):
        yield from _script(project, folder, script, when)


def _on_seed(project: Project, state: State, guest: GuestState) -> Iterator[Artefact]:
    """Return the files on a seed; only the context is read from the image."""
    folder, seed = f"guests/{guest.name}/seed", _kept(project, guest.seed)
    about = partial(describe_seed, seed, guest)
    shown = _without_secrets(guest)
    yield Artefact(f"{folder}/contents.txt", f"all that is on {seed.name}", about)
    on_seed: dict[str, Callable[[], bytes]] = {
        "meta-data": partial(cloud_init.build_meta_data, guest),
        "user-data": partial(
            cloud_init.build_user_data, shown, public_key=state.public_key
        ),
        "network-config": partial(cloud_init.build_network_config, guest),
    }
    for name, read in on_seed.items():
        yield Artefact(f"{folder}/{name}", f"on {seed.name}", read)
    if guest.context:
        yield Artefact(
            f"{folder}/{CONTEXT}",
            f"on {seed.name}, from {guest.context}",
            partial(read_from_seed, seed, CONTEXT),
            partial(describe_context, seed),
        )


def _script(
    project: Project, folder: str, script: ScriptState | None, when: str
) -> Iterator[Artefact]:
    """Return a script's current content, which is what Up runs, also after an edit."""
    if script is None:
        return
    try:
        file = project.file(script.path)
    except PathOutside:  # became a link that leads out
        return
    if file.is_file():
        path = file.relative_to(project.files.resolve()).as_posix()
        yield Artefact(
            f"{folder}/scripts/{path}", when, partial(_script_bytes, file, path)
        )


def _script_bytes(file: Path, path: str) -> bytes:
    """Read a script that may run. Raises: StateError (it became too large)."""
    with open_real(file) as script:
        content = script.read(SCRIPT_LIMIT_BYTES + 1)
    if len(content) > SCRIPT_LIMIT_BYTES:
        raise StateError(
            f"The script {path} is larger than {SCRIPT_LIMIT_BYTES // 1024} KiB.",
            hint="Download it among the testbed's files.",
        )
    return content


def _kept(project: Project, path: str) -> Path:
    """Return where main keeps the artefact that a guest's host has at `path`."""
    return project.artefacts / PurePosixPath(path).name


def _networks(state: State) -> Iterator[Artefact]:
    network = state.network
    if network.nat:
        nat = network.nat
        build = partial(build_nat_network, nat, testbed=state.testbed)
        yield _network(nat.network, nat.host, build)
    for one in network.management:
        build = partial(build_management_network, one, testbed=state.testbed)
        yield _network(one.network, one.host, build)


def _network(name: str, host: str, build: Callable[[], str]) -> Artefact:
    def read() -> bytes:
        return build().encode()

    place = f"libvirt network {name} on {host}"
    return Artefact(f"networks/{host}-{name}.xml", place, read)


def _plan(state: State) -> bytes:
    return plan(Command.UP, state).to_text().encode()


def _state(state: State) -> bytes:
    guests = tuple(_without_secrets(guest) for guest in state.guests)
    goldens = tuple(
        golden.model_copy(update={"guest": _without_secrets(golden.guest)})
        for golden in state.goldens
    )
    hosts = tuple(map(without_login, state.hosts))
    changed = {"guests": guests, "goldens": goldens, "hosts": hosts}
    shown = state.model_copy(update=changed)
    return f"{shown.model_dump_json(indent=1)}\n".encode()


def _xml(path: Path) -> bytes:
    text = path.read_text(encoding="utf-8", errors="replace")
    return _XML_PASSWORD.sub(rf'\1"{HIDDEN}"', text).encode()


def _without_secrets(guest: GuestState) -> GuestState:
    shown = {
        key: HIDDEN if is_secret(key) else value
        for key, value in guest.environment.items()
    }
    password_hash = HIDDEN if guest.password_hash else ""
    return guest.model_copy(
        update={"environment": shown, "password_hash": password_hash}
    )
