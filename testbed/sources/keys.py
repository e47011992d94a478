"""The deploy key of a testbed's source: made here, its private half never shown.

It is in the testbed's folder beside the key for its guests, readable by that folder's
owner and root alone, and goes with the testbed.
"""

from pathlib import Path

from orchestration.errors import StateError
from orchestration.project.keys import ensure_key_pair
from testbed.models import Testbed


def deploy_key_of(testbed: Testbed) -> str:
    """Return the public line of a testbed's deploy key; make a missing one."""
    testbed.project.create()
    return ensure_key_pair(_file(testbed), f"testbed-{testbed.key}")


def private_key_of(testbed: Testbed) -> bytes:
    """Return the private half. Raises: StateError (it is gone)."""
    try:
        return _file(testbed).read_bytes()
    except OSError as exc:
        raise StateError(
            "The deploy key of this testbed is gone.",
            hint="Remove the source and set it again: that makes another key.",
        ) from exc


def remove_deploy_key(testbed: Testbed) -> None:
    """Remove both halves."""
    for path in (_file(testbed), _file(testbed).with_suffix(".pub")):
        path.unlink(missing_ok=True)


def _file(testbed: Testbed) -> Path:
    return testbed.project.keys / "source_ed25519"
