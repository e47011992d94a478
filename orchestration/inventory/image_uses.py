"""Finds the users of each image, from the states and the hosts.

Pure. `claims` returns one state's needs on every host, by the images' file names: a
name stands for its content, so that it is the same image at any place. `judge` combines
the states and the hosts' stores. Unknown uses keep every image that they may concern,
by name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestration.inventory.images import Store, StoredImage, Use, Uses, kind_of
from orchestration.state.model import GuestState, HostState, State

# Host and file name.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Claims:
    """Needs of states: the users of an image name on a host.

    `labels` maps a golden image or a user's disk to its source.
    """

    uses: Mapping[Place, frozenset[Use]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One image of a host: its users, or the reason why it stays without known ones.

    It is unused when both are empty.
    """

    image: StoredImage
    uses: tuple[Use, ...] = ()
    kept: str = ""
    label: str = ""

    @property
    def is_unused(self) -> bool:
        """Return whether the image may be deleted."""
        return not (self.uses or self.kept)


def claims(states: Iterable[State]) -> Claims:
    """Return the needs of one testbed's states."""
    uses: dict[Place, set[Use]] = {}
    labels: dict[str, str] = {}
    for state in states:
        main = state.main.name
        for guest in state.machines:
            use = Use(state.testbed, guest.name)
            for place in _places(guest, main):
                uses.setdefault(place, set()).add(use)
            labels |= _labels(state, guest)
        for golden in state.goldens:
            name = PurePosixPath(golden.image.main_path).name
            uses.setdefault((main, name), set()).add(Use(state.testbed, golden.name))
            if golden.image.golden:
                labels[name] = f"{state.testbed} {golden.name}"
    return Claims({place: frozenset(found) for place, found in uses.items()}, labels)


def merged(parts: Iterable[Claims]) -> Claims:
    """Return the claims of many testbeds as one."""
    uses: dict[Place, set[Use]] = {}
    labels: dict[str, str] = {}
    for part in parts:
        for place, found in part.uses.items():
            uses.setdefault(place, set()).update(found)
        labels.update(part.labels)
    return Claims({place: frozenset(found) for place, found in uses.items()}, labels)


def judge(
    store: Store,
    host: HostState,
    claimed: Claims,
    *,
    others: Iterable[Uses] = (),
    unknown: Collection[str] = (),
) -> tuple[Verdict, ...]:
    """Return the verdict on each image of a host.

    `others` are the uses seen on the other hosts, for main: an image below any guest's
    disk must not be made anew under the same name. `unknown` are sentences about
    unreadable uses; each keeps everything here.
    """
    seen = (store.uses, *others) if host.is_main else (store.uses,)
    kept = "; ".join((*unknown, *store.unreadable))
    verdicts = []
    for image in store.images:
        users = set(claimed.uses.get((host.name, image.name), ()))
        users |= {use for uses in seen for use in uses.get(image.name, ())}
        known = sorted(users, key=lambda use: (use.testbed, use.guest))
        label = claimed.labels.get(image.name, "")
        verdicts.append(Verdict(image, tuple(known), "" if known else kept, label))
    return tuple(verdicts)


def _places(guest: GuestState, main: str) -> Iterator[Place]:
    """Return the images that a guest needs, on its host and on main.

    Its disk may still lie over an image that was renewed in the catalogue since.
    """
    image = guest.image
    yield guest.host, PurePosixPath(image.path).name
    yield main, PurePosixPath(image.main_path).name
    older = guest.markers.disk.partition(" ")[0]
    if older and kind_of(older):
        yield guest.host, older
        yield main, older


def _labels(state: State, guest: GuestState) -> dict[str, str]:
    if not guest.image.is_own or guest.host == state.main.name:
        return {}
    return {PurePosixPath(guest.image.path).name: f"{state.testbed} {guest.image.name}"}
