"""State files of earlier versions → the state of this version.

`project/folder.py` reads `state.json` and `deployed.json` with `load_state`. A file of
an earlier version passes through each later step in turn; the file itself stays until
the state is written anew. A change of the content of state files adds 1 to
`SCHEMA_VERSION`, one step to `STEPS`, and a file of the version before to
`tests/data/states`. A new key with a default needs no step. Pure.
"""

import json
from collections.abc import Callable
from pathlib import PurePosixPath

from pydantic import BaseModel, JsonValue, TypeAdapter

from orchestration.errors import StateError
from orchestration.state.disk_bases import copy_name
from orchestration.state.model import SCHEMA_VERSION, HostState, State

Stored = dict[str, JsonValue]
Step = Callable[[Stored], Stored]
ITEM = TypeAdapter(dict[str, JsonValue])
ITEMS = TypeAdapter(list[dict[str, JsonValue]])
HOSTS = TypeAdapter(list[HostState])
TEXTS = TypeAdapter(dict[str, str | int | None])


class _Versioned(BaseModel):
    schema_version: int


def load_state(content: bytes) -> State:
    """Read a state file of this version or an earlier one.

    Raises: ValueError (not a state), StateError (a version that cannot be read).
    """
    version = _Versioned.model_validate_json(content).schema_version
    if version == SCHEMA_VERSION:
        return State.model_validate_json(content)
    if version > SCHEMA_VERSION:
        raise StateError(
            f"The state was written by a newer version of this program: it has version "
            f"{version}, and this program reads up to {SCHEMA_VERSION}.",
            hint="Update this program, or stop the testbed with the newer one.",
        )
    if version not in STEPS:
        raise StateError(
            f"The state has version {version}; this program reads {min(STEPS)} to "
            f"{SCHEMA_VERSION}.",
            hint="Stop the testbed with the program that wrote it.",
        )
    stored: Stored = json.loads(content)
    for step in range(version, SCHEMA_VERSION):
        stored = STEPS[step](stored)
    return State.model_validate({**stored, "schema_version": SCHEMA_VERSION})


def _markers_by_identity(stored: Stored) -> Stored:
    """1 → 2: a disk records its image's file, and nothing records the seed.

    A guest whose seed was pushed may never have answered, so none counts as reached.
    """
    guests = ITEMS.validate_python(stored.get("guests"))
    return {**stored, "guests": [_with_identity(guest) for guest in guests]}


def _with_identity(guest: dict[str, JsonValue]) -> JsonValue:
    image = TEXTS.validate_python(guest.get("image"))
    markers = TEXTS.validate_python(guest.get("markers", {}))
    markers.pop("seed", None)
    if markers.get("disk") in (image.get("sha256"), image.get("name")):
        markers["disk"] = PurePosixPath(str(image.get("path"))).name
    return {**guest, "markers": dict(markers)}


def _copies_of_own_files(stored: Stored) -> Stored:
    """2 → 3: a user's file on main is the source of a copy, as on other hosts."""
    hosts = HOSTS.validate_python(stored.get("hosts"))
    main = next((host for host in hosts if host.is_main), None)
    if main is None:
        raise ValueError("validation error: none of the hosts is main")

    def copied(holder: dict[str, JsonValue], *, is_here: bool) -> Stored:
        image = ITEM.validate_python(holder.get("image"))
        return {**holder, "image": _copied(image, main.images_dir, is_here=is_here)}

    def of_guest(guest: dict[str, JsonValue]) -> Stored:
        return copied(guest, is_here=guest.get("host") == main.name)

    goldens: list[JsonValue] = [
        {
            **copied(golden, is_here=True),
            "guest": of_guest(ITEM.validate_python(golden.get("guest"))),
        }
        for golden in ITEMS.validate_python(stored.get("goldens", []))
    ]
    guests = ITEMS.validate_python(stored.get("guests"))
    return {
        **stored,
        "guests": [of_guest(guest) for guest in guests],
        "goldens": goldens,
    }


def _copied(image: Stored, images_dir: str, *, is_here: bool) -> Stored:
    """Describe the copy of a user's file; a packed file has had one before."""
    if not image.get("is_own"):
        return image
    if image.get("source"):
        return {**image, "is_packed": True}
    source, stamp = str(image.get("main_path")), str(image.get("stamp"))
    suffix = PurePosixPath(str(image.get("name"))).suffix
    copy = str(PurePosixPath(images_dir, copy_name(source, stamp, suffix)))
    path = copy if is_here else image.get("path")
    return {**image, "path": path, "main_path": copy, "source": source}


STEPS: dict[int, Step] = {1: _markers_by_identity, 2: _copies_of_own_files}
