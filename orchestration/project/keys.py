"""SSH key pairs, generated here without any tool of the host.

Used for a testbed's own key and for each guest's host key. The caller decides where
keys are stored and whose login they allow.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from orchestration.errors import StateError
from orchestration.files import give_to_owner_of


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key: the private file in OpenSSH's format, the public line."""

    private_openssh: bytes = field(repr=False)
    public_line: str


def generate_key_pair(comment: str) -> KeyPair:
    """Make a new ed25519 key pair; `comment` ends the public line."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private, f"{public.decode()} {comment}".strip())


def ensure_key_pair(private: Path, comment: str) -> str:
    """Return the public line of the key pair at `private`; make a missing one."""
    public = private.with_suffix(".pub")
    if not (private.is_file() and public.is_file()):
        pair = generate_key_pair(comment)
        private.unlink(missing_ok=True)
        private.touch(mode=0o600)
        private.write_bytes(pair.private_openssh)
        public.write_text(pair.public_line + "\n")
        give_to_owner_of(public.parent, public)
    return public.read_text().strip()


def fingerprint(public_line: str) -> str:
    """Return a public key's fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.

    Raises: StateError when the line is not a public key.
    """
    try:
        blob = base64.b64decode(public_line.split()[1], validate=True)
    except (IndexError, binascii.Error) as exc:
        raise StateError(
            "This is not a public SSH key.",
            hint="It is one line: ssh-ed25519 AAAA… comment.",
            detail=public_line[:80],
        ) from exc
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"
