"""Passwords are hashed as openssl does it, with a salt of their testbed."""

import shutil
import subprocess

import pytest

from orchestration.project.keys import generate_key_pair
from orchestration.project.passwords import hash_password, salt_for
from orchestration.state.model import State
from tests.orchestration.instructions.rehearsal import Rehearsal

PASSWORD = "pä ss'word"
ONE, OTHER = (generate_key_pair("demo").public_line for _ in range(2))


def with_hash(state: State, text: str) -> State:
    first, *rest = state.guests
    first = first.model_copy(update={"password_hash": text})
    return state.model_copy(update={"guests": (first, *rest)})


def test_salt_is_that_of_a_random_key_and_not_of_a_name() -> None:
    first, again, other = (salt_for(key, None) for key in (ONE, ONE, OTHER))

    assert first == again != other
    assert len(first) == 16


def test_hash_has_its_salt() -> None:
    hashed = hash_password(PASSWORD, salt="0123456789abcdef")

    kind, salt, digest = hashed.removeprefix("$").split("$")
    assert (kind, salt, len(digest)) == ("6", "0123456789abcdef", 86)


def test_salt_of_the_hashes_that_are_there_stays(rehearsal: Rehearsal) -> None:
    plain = rehearsal.state
    hashed = with_hash(plain, hash_password(PASSWORD, salt="ofanotherversion"))

    assert salt_for(ONE, plain) == salt_for(ONE, None)
    assert salt_for(ONE, hashed) == "ofanotherversion"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl not installed")
def test_hash_is_the_one_that_openssl_makes() -> None:
    ours = hash_password(PASSWORD, salt=salt_for(ONE, None))

    theirs = subprocess.run(
        ("openssl", "passwd", "-6", "-salt", ours.split("$")[2], "-stdin"),
        input=f"{PASSWORD}\n".encode(),
        capture_output=True,
        check=True,
    )

    assert theirs.stdout.decode().strip() == ours
