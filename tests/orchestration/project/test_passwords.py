"""Passwords are hashed as openssl does it, with a salt of their testbed."""

import shutil
import subprocess

import pytest

from orchestration.project.passwords import hash_password

PASSWORD = "pä ss'word"


def test_same_password_has_the_same_hash_in_one_testbed_only():
    first, again, other = (
        hash_password(PASSWORD, testbed=name) for name in ("demo", "demo", "lab")
    )

    assert first == again != other
    kind, salt, digest = first.removeprefix("$").split("$")
    assert (kind, len(salt), len(digest)) == ("6", 16, 86)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl not installed")
def test_hash_is_the_one_that_openssl_makes():
    ours = hash_password(PASSWORD, testbed="demo")

    theirs = subprocess.run(
        ("openssl", "passwd", "-6", "-salt", ours.split("$")[2], "-stdin"),
        input=f"{PASSWORD}\n".encode(),
        capture_output=True,
        check=True,
    )

    assert theirs.stdout.decode().strip() == ours
