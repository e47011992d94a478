"""Passwords are hashed by the real openssl, and appear in no command."""

import shutil
from dataclasses import replace

import pytest

from orchestration.errors import StateError
from orchestration.providers.guest.passwords import hash_password
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport

PASSWORD = "pä ss'word"


class Watched(LocalTransport):
    """Notes what it was asked, and can be broken."""

    def __init__(self, program: str = "openssl") -> None:
        super().__init__()
        self.program = program
        self.asked: list[str] = []

    def run(self, cmd, **options):
        self.asked.append(str(cmd))
        words = (self.program, *cmd.argv[1:])
        return super().run(replace(cmd, argv=words), **options)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl not installed")
def test_same_password_has_the_same_hash_in_one_testbed_only():
    transport = Watched()

    first, again, other = (
        hash_password(transport, PASSWORD, testbed=name, scope=Scope())
        for name in ("demo", "demo", "lab")
    )

    assert first == again != other
    kind, salt, digest = first.removeprefix("$").split("$")
    assert (kind, len(salt), len(digest)) == ("6", 16, 86)
    assert all(PASSWORD not in line for line in transport.asked)


def test_missing_program_is_named_and_the_password_is_not():
    with pytest.raises(StateError, match="could not be hashed") as failed:
        hash_password(Watched("no-such-program"), PASSWORD, testbed="a", scope=Scope())

    assert failed.value.hint == "Install openssl there."
    assert PASSWORD not in f"{failed.value.message}{failed.value.detail}"
