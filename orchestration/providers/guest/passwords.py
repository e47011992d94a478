"""Hash a guest's password with openssl, for the seed.

Called while a state is built; the state and the seed hold the hash only. The salt
follows from the testbed, so that the same YAML gives the same seeds.
"""

from hashlib import sha256

from orchestration.errors import StateError
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.transport.base import Scope, Transport, command

SALT_CHARACTERS = 16


def hash_password(
    transport: Transport, password: str, *, testbed: str, scope: Scope
) -> str:
    """Return a SHA-512 crypt hash; the password goes through stdin only.

    Raises: StateError (openssl is missing or refuses).
    """
    salt = sha256(f"password:{testbed}".encode()).hexdigest()[:SALT_CHARACTERS]
    hash_it = command(
        *("openssl", "passwd", "-6", "-salt", salt, "-stdin"),
        stdin=f"{password}\n".encode(),
    )
    failure = Failure(
        StateError,
        f"A guest's password could not be hashed on {transport.machine}.",
        "Install openssl there.",
    )
    completed = run_or_fail(transport, hash_it, failure, scope=scope)
    return completed.stdout.strip()
