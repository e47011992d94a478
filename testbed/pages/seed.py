"""Describes a guest's seed image: every file, and the hidden ones with the reason.

The image is not offered for download: hidden values and the hash of a password may be
on it. Everything else on it is an artefact of its own. Used by `artefacts`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from orchestration.providers.guest.seed_contents import list_archive_on_seed, seed_sizes
from orchestration.state.model import GuestState

CONTEXT = "context.tar"
_SECRET = re.compile(
    r"pass|pwd|secret|token|private|credential|(api|access|auth)_?key"
    r"|(?<![a-z])(auth|bearer|cookie|otp|pin|psk)(?![a-z])",
    re.I,
)


def is_secret(key: str) -> bool:
    """Return whether an environment's key is the name of a secret."""
    return bool(_SECRET.search(key))


def describe_seed(seed: Path, guest: GuestState) -> bytes:
    """List the files on a seed image. Raises: ImageFailed."""
    return "\n".join([*_lines(seed, guest), ""]).encode()


def describe_context(seed: Path) -> bytes:
    """List the context archive of a seed image. Raises: ImageFailed."""
    return "\n".join([*_members(seed), ""]).encode()


def _lines(seed: Path, guest: GuestState) -> Iterator[str]:
    yield f"{seed.name}: a read-only disk labelled cidata, {seed.stat().st_size} bytes."
    yield "cloud-init in the guest looks for it and reads it at the first start."
    yield ""
    for name, size in sorted(seed_sizes(seed).items()):
        kept_back = "without secrets" if name == "user-data" else "as it is"
        yield f"{size:>12}  {name:<16}{kept_back}"
    if guest.context:
        yield ""
        yield f"{CONTEXT}, unpacked in the guest to /etc/nocloud/context:"
        yield from (f"  {line}" for line in _members(seed))
    yield ""
    yield "Kept back from user-data, and with it the image itself:"
    yield from (f"  - {what}" for what in _kept_back(guest) or ["nothing"])
    yield ""
    yield "The guest makes its private host key itself; it is not on the seed."


def _members(seed: Path) -> list[str]:
    return list_archive_on_seed(seed, CONTEXT) or ["(empty)"]


def _kept_back(guest: GuestState) -> list[str]:
    names = [key for key in guest.environment if is_secret(key)]
    kept = [f"the values of {', '.join(names)}, by their names"] if names else []
    return [*kept, "the hash of the guest's password"] if guest.password_hash else kept
