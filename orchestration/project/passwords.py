"""A guest's password, hashed for its seed.

The state and the seed hold the hash only. The salt follows from the testbed, so that
the same YAML gives the same seeds. Pure, so that a client plans as the server does.
"""

from hashlib import sha256

from passlib.hash import sha512_crypt

SALT_CHARACTERS = 16
# crypt(3)'s default, which a hash does not name.
ROUNDS = 5000


def hash_password(password: str, *, testbed: str) -> str:
    """Return a SHA-512 crypt hash, as `openssl passwd -6` prints it."""
    salt = sha256(f"password:{testbed}".encode()).hexdigest()[:SALT_CHARACTERS]
    return str(sha512_crypt.using(salt=salt, rounds=ROUNDS).hash(password))
