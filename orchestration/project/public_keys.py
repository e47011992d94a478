"""Public SSH keys that people hand in, read by the library that reads all our keys.

Only the type, the key itself and its comment are kept: options of a line, which would
act on the server that accepts it, are refused. A private key is recognised, so that the
caller can say so; its text is in no error. Used by the web's account pages.
"""

import base64
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from orchestration.errors import TestbedError
from orchestration.project.keys import fingerprint

# A key of 16,384 bits, the longest that OpenSSH takes, has 2,800 characters.
MOST_CHARACTERS = 8192
MOST_COMMENT = 200
RSA_BITS = range(2048, 16384 + 1)
# Those that sshd of Debian 12 and 13 takes for a login without being told to.
KINDS = {
    "ssh-ed25519": "Ed25519",
    "sk-ssh-ed25519@openssh.com": "Ed25519 on a security key",
    "ecdsa-sha2-nistp256": "ECDSA",
    "ecdsa-sha2-nistp384": "ECDSA",
    "ecdsa-sha2-nistp521": "ECDSA",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA on a security key",
    "ssh-rsa": "RSA",
}
_EXAMPLE = "It is one line: ssh-ed25519 AAAA… comment."
_PRIVATE = re.compile(r"PRIVATE\s+KEY|PuTTY-User-Key-File|b3BlbnNzaC1rZXktdjE", re.I)


class KeyRefused(TestbedError):
    """A text is not a public key that we take."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: its SSH type, itself in base64, its length and its comment."""

    kind: str
    blob: str
    bits: int
    comment: str

    @property
    def fingerprint(self) -> str:
        """Its fingerprint as `ssh-keygen -l` prints it."""
        return fingerprint(f"{self.kind} {self.blob}")


def parse_public_key(text: str) -> PublicKey:
    """Read one line of an `id_….pub` file. Raises: KeyRefused."""
    if _PRIVATE.search(text):
        raise KeyRefused(
            "This is a private key. It was neither stored nor logged.",
            hint="Send the public one, from the file whose name ends in .pub. The "
            "private one stays on your machine.",
        )
    line = text.strip()
    if len(line) > MOST_CHARACTERS:
        raise KeyRefused(
            f"A key has at most {MOST_CHARACTERS} characters.", hint=_EXAMPLE
        )
    if len(line.splitlines()) > 1:
        raise KeyRefused("These are several lines.", hint="Add one key after another.")
    kind, blob, *rest = *line.split(None, 2), "", ""
    if kind not in KINDS:
        raise KeyRefused(
            "The line does not begin with a type of key that is taken: "
            f"{', '.join(KINDS)}.",
            hint=_EXAMPLE,
        )
    bits = _bits(kind, blob)
    comment = "".join(c if c.isprintable() else "?" for c in rest[0])
    return PublicKey(kind, blob, bits, comment[:MOST_COMMENT])


def _bits(kind: str, blob: str) -> int:
    try:
        base64.b64decode(blob, validate=True)  # the library skips other characters
        key = load_ssh_public_key(f"{kind} {blob}".encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyRefused(
            f"This is not a whole key of the type {kind}.",
            hint=f"Was a part of the line left out? {_EXAMPLE}",
        ) from exc
    if isinstance(key, RSAPublicKey) and key.key_size not in RSA_BITS:
        raise KeyRefused(
            f"An RSA key of {key.key_size} bits is not taken: {RSA_BITS.start} to "
            f"{RSA_BITS.stop - 1} are.",
            hint="Make another with `ssh-keygen -t ed25519`.",
        )
    if isinstance(key, (RSAPublicKey, EllipticCurvePublicKey)):
        return key.key_size
    return 256
