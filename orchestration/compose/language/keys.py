"""The keys that each map may have: derived from the models, with a few special ones.

Each place of the document has its known keys, the accepted ones without effect, and the
ones that are refused with a sentence. Any other key gets a warning that names the
nearest known key. Places are paths with `[]` for any index and `*` for any name. Read
by the loader, the JSON schema and the reference.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from pydantic import BaseModel

from orchestration.compose.language import ovn, written
from orchestration.compose.language.schema import CloudImage, Network
from orchestration.compose.reading.positions import Path


@dataclass(frozen=True, slots=True)
class Remark:
    """The text about a known key that has no effect or is refused."""

    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """The keys of one map of the language."""

    model: type[BaseModel]
    keys: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    warned: Mapping[str, Remark] = field(default_factory=dict)
    refused: Mapping[str, Remark] = field(default_factory=dict)

    @property
    def known(self) -> frozenset[str]:
        """All keys that are not unknown."""
        return frozenset((*self.keys, *self.ignored, *self.warned, *self.refused))

    def nearest(self, key: str) -> str:
        """Return the known key that is most similar to a mistyped one, or ''."""
        found = difflib.get_close_matches(key.lower(), self.keys, n=1, cutoff=0.6)
        return found[0] if found else ""


STATIC_IP = Remark(
    "`static_ip` has no effect.", "Write `ip` at the machine's interface."
)
CLONE_OF = Remark(
    "`is_clone_of` has no effect: clones are made by `scaling`.", "Remove the key."
)

# Keys that the testbed itself decides, or that older versions had.
IGNORED: Mapping[type[BaseModel], tuple[str, ...]] = {
    written.WrittenLibvirt: (
        "extended_graphics_support",
        "hostname",
        "ssh_address",
        "tcp_tty_port",
    ),
    written.WrittenDocker: ("hostname",),
    CloudImage: ("path",),
}
WARNED: Mapping[type[BaseModel], Mapping[str, Remark]] = {
    written.WrittenLibvirt: {"static_ip": STATIC_IP, "is_clone_of": CLONE_OF},
    written.WrittenDocker: {"static_ip": STATIC_IP},
    written.AndroidChoice: {"static_ip": STATIC_IP},
    written.MachineAvd: {"static_ip": STATIC_IP},
}
REFUSED: Mapping[type[BaseModel], Mapping[str, Remark]] = {
    Network: {
        "ovs": Remark(
            "The `ovs` form of `network` was never defined.",
            "Write `bridges` directly under `network`.",
        )
    },
    ovn.SwitchPort: {
        "router": Remark(
            "Ports towards routers come by themselves.",
            "Write the port under `routers` instead.",
        )
    },
}


def _models(annotation: object, at: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models of a key's type: lists add `[]`, maps with free keys add `*`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield at, annotation
        return
    origin = getattr(annotation, "__origin__", None)
    arguments = get_args(annotation)
    if origin is tuple:
        yield from _models(arguments[0], f"{at}[]")
    elif origin is dict:
        yield from _models(arguments[1], f"{at}.*")
    else:
        for argument in arguments:
            yield from _models(argument, at)


def _places(model: type[BaseModel], at: str) -> Iterator[tuple[str, Place]]:
    fields = model.model_fields
    keys = {name: field.alias or name for name, field in fields.items()}
    yield (
        at,
        Place(
            model=model,
            keys=tuple(keys.values()),
            ignored=IGNORED.get(model, ()),
            warned=WARNED.get(model, {}),
            refused=REFUSED.get(model, {}),
        ),
    )
    for name, key in keys.items():
        below = f"{at}.{key}" if at else key
        for place, found in _models(fields[name].annotation, below):
            yield from _places(found, place)


PLACES: Mapping[str, Place] = dict(_places(written.Document, ""))
# Maps whose keys are names: the part of each place before a `*`.
NAMED = frozenset(
    place[: found.start()] for place in PLACES for found in re.finditer(r"\.\*", place)
)


def place_of(path: Path) -> Place | None:
    """Return the keys that the map at `path` may have, if they are fixed."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += "[]"
        elif shown in NAMED:
            shown += ".*"
        else:
            shown += f".{part}" if shown else part
    return PLACES.get(shown)
