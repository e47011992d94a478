"""A guest's password, hashed for its seed.

The state and the seed hold the hash only. The salt follows from the testbed's public
key, which is random, so that no table of hashes can be made before, and the same YAML
gives the same seeds. Pure, so that a client plans as the server does.
"""

from hashlib import sha256

from passlib.hash import sha512_crypt

from orchestration.state.model import State

SALT_CHARACTERS = 16
# crypt(3)'s default, which a hash does not name.
ROUNDS = 5000


def salt_for(public_key: str, previous: State | None) -> str:
    """Return a testbed's salt, given its key.

    The salt of the hashes that it has stays: another one would change its guests.
    """
    machines = previous.machines if previous else ()
    hashes = {guest.password_hash for guest in machines if guest.password_hash}
    if hashes:
        return min(hashes).split("$")[2]
    key = " ".join(public_key.split()[:2])
    return sha256(f"password:{key}".encode()).hexdigest()[:SALT_CHARACTERS]


def hash_password(password: str, *, salt: str) -> str:
    """Return a SHA-512 crypt hash, as `openssl passwd -6` prints it."""
    return str(sha512_crypt.using(salt=salt, rounds=ROUNDS).hash(password))
