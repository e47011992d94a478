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
from orchestration.state.model import SCHEMA_VERSION, State

Stored = dict[str, JsonValue]
Step = Callable[[Stored], Stored]
GUESTS = TypeAdapter(list[dict[str, JsonValue]])
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
            hint="Update this program, or take the testbed down with the newer one.",
        )
    if version not in STEPS:
        raise StateError(
            f"The state has version {version}; this program reads {min(STEPS)} to "
            f"{SCHEMA_VERSION}.",
            hint="Take the testbed down with the program that wrote it.",
        )
    stored: Stored = json.loads(content)
    for step in range(version, SCHEMA_VERSION):
        stored = STEPS[step](stored)
    return State.model_validate({**stored, "schema_version": SCHEMA_VERSION})


def _markers_by_identity(stored: Stored) -> Stored:
    """1 → 2: a disk records its image's file, and nothing records the seed.

    A guest whose seed was pushed may never have answered, so none counts as reached.
    """
    guests = GUESTS.validate_python(stored.get("guests"))
    return {**stored, "guests": [_with_identity(guest) for guest in guests]}


def _with_identity(guest: dict[str, JsonValue]) -> JsonValue:
    image = TEXTS.validate_python(guest.get("image"))
    markers = TEXTS.validate_python(guest.get("markers", {}))
    markers.pop("seed", None)
    if markers.get("disk") in (image.get("sha256"), image.get("name")):
        markers["disk"] = PurePosixPath(str(image.get("path"))).name
    return {**guest, "markers": dict(markers)}


STEPS: dict[int, Step] = {1: _markers_by_identity}
