"""The jump account's keys and the look at it. sshd itself: tests/live."""

import re

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.linux import jump_account
from orchestration.providers.linux.jump_account import JumpAccount, build_keys
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply

LOOK = re.compile(r"sh -c .*sshd.* jump testbed-jump", re.DOTALL)
SET_UP = re.compile(r"sh -c .*useradd.* jump testbed-jump .*", re.DOTALL)
DIGEST = "sha256sum /var/lib/testbed-jump/authorized_keys"
BOTH_ALLOWED = "allowusers root\nallowusers testbed-jump\n"
AS_WANTED = "\n".join(sorted(jump_account._NEEDED)) + "\nport 22\n"


def test_each_key_is_limited_to_its_guests():
    found = build_keys(
        {
            "ssh-ed25519 B": frozenset({"10.0.0.2"}),
            "ssh-ed25519 A": frozenset({"10.0.0.2", "10.0.0.1"}),
            "ssh-ed25519 C": frozenset(),
        }
    )

    one, two = 'permitopen="10.0.0.1:22"', 'permitopen="10.0.0.2:22"'
    assert found.decode().splitlines() == [
        f"restrict,port-forwarding,{one},{two} ssh-ed25519 A",
        f"restrict,port-forwarding,{two} ssh-ed25519 B",
    ]


def test_key_with_too_many_guests_keeps_as_many_as_sshd_takes():
    addresses = frozenset(f"10.{n // 256}.{n % 256}.1" for n in range(5000))

    found = build_keys({"ssh-ed25519 A": addresses}).decode()

    assert found.count("permitopen=") == jump_account.MOST_GUESTS


@pytest.mark.parametrize(
    ("reply", "is_there", "works"),
    [
        (Reply(exit_code=3), False, False),
        (Reply(exit_code=4), True, False),
        (Reply(exit_code=255), True, False),
        (Reply(stdout=AS_WANTED), True, True),
        (Reply(stdout=AS_WANTED.replace("permittty no", "permittty yes")), True, False),
        (Reply(stdout=f"{AS_WANTED}allowusers root\n"), True, False),
        (Reply(stdout=f"{AS_WANTED}{BOTH_ALLOWED}"), True, True),
    ],
    ids=[
        "absent",
        "without shell",
        "broken",
        "as wanted",
        "with a terminal",
        "not in a list",
        "in a list",
    ],
)
def test_look_compares_what_sshd_says(reply: Reply, is_there: bool, works: bool):
    found = jump_account.look(FakeTransport("host-b", [(LOOK, reply)]), scope=Scope())

    assert (found.is_there, found.works) == (is_there, works)
    assert bool(found.problem) == (is_there and not works)


def test_account_that_is_absent_is_no_problem():
    assert JumpAccount().problem == ""


def test_keys_are_written_where_they_differ():
    transport = FakeTransport(script=[(DIGEST, f"{'0' * 64}  keys\n")])

    assert jump_account.ensure_keys(transport, b"new\n", scope=Scope())
    assert transport.files[jump_account.KEYS_FILE] == b"new\n"


def test_set_up_that_fails_says_where():
    reply = Reply(exit_code=1, stderr="Bad configuration option")
    transport = FakeTransport("host-b", [(SET_UP, reply)])

    with pytest.raises(NetworkFailed, match="host-b"):
        jump_account.set_up(transport, scope=Scope())

    assert b"Match User testbed-jump" in transport.calls[0].stdin
    assert transport.calls[0].as_root
