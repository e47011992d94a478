"""The connections through a jump account, as a host tells them. sshd: tests/live."""

import re
import subprocess

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.linux import jump_sessions
from orchestration.providers.linux.jump_sessions import LOGIN_TICKS, Session, Sessions
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply

LOOK = re.compile(r"sh -c .*boot_id.* jump testbed-jump .*", re.DOTALL)
END = re.compile(r"sh -c .*setpriv.* jump testbed-jump .*", re.DOTALL)
HOUR = 3600 * 100
TOLD = """\
boot 1f7a
now 4242 900000
session 70 100
session 80 200
ESTAB 0 0 10.0.0.1:3550 100.64.0.10:22 users:(("sshd",pid=70,fd=9))
ESTAB 0 0 10.0.0.1:3551 100.64.0.10:22 users:(("sshd",pid=70,fd=10))
SYN-SENT 0 1 [::1]:3552 [::ffff:100.64.0.11]:22 users:(("sshd",pid=70,fd=11))
ESTAB 0 0 10.0.0.1:3553 192.0.2.9:22 users:(("ssh",pid=99,fd=3))
TIME-WAIT 0 0 10.0.0.1:3554 192.0.2.9:22
"""


def sessions(now: int, *begins: int) -> Sessions:
    found = tuple(Session(pid, begin) for pid, begin in enumerate(begins))
    return Sessions("boot", now, found)


def test_look_finds_connections_with_what_they_are_connected_to():
    found = jump_sessions.look(FakeTransport("h", [(LOOK, TOLD)]), scope=Scope())

    assert (found.boot, found.now) == ("1f7a", 900000)
    assert found.all == (
        Session(70, 100, frozenset({"100.64.0.10", "100.64.0.11"})),
        Session(80, 200),
    )


@pytest.mark.parametrize(
    "reply", [Reply(), Reply(stdout="boot 1f7a\nnow \n"), Reply(exit_code=3)]
)
def test_host_that_does_not_tell_is_no_host_without_connections(reply: Reply):
    with pytest.raises(NetworkFailed, match="host-b does not say"):
        jump_sessions.look(FakeTransport("host-b", [(LOOK, reply)]), scope=Scope())


def test_connection_is_old_from_the_limit_on():
    found = sessions(25 * HOUR, HOUR, HOUR + 1, 20 * HOUR)

    assert found.older_than(24 * 3600) == {Session(0, HOUR)}


def test_connection_to_an_address_that_no_key_opens_is_found():
    stays = Session(1, 5, frozenset({"100.64.0.1"}))
    leads_on = Session(2, 5, frozenset({"100.64.0.1", "100.64.0.2"}))
    found = Sessions("boot", 10, (stays, leads_on, Session(3, 5)))

    assert found.beside(frozenset({"100.64.0.1"})) == {leads_on}


def test_youngest_of_too_many_are_found():
    found = sessions(100, 50, 10, 70, 30)

    assert found.beyond(3) == {Session(2, 70)}
    assert found.beyond(4) == frozenset()


def test_login_takes_a_while_before_its_process_begins():
    assert sessions(9 * HOUR).oldest_login == 9 * HOUR - LOGIN_TICKS
    assert sessions(9 * HOUR, 8 * HOUR).oldest_login == 8 * HOUR - LOGIN_TICKS


def test_ending_names_processes_with_their_begins():
    transport = FakeTransport("host-b", [(END, "")])

    jump_sessions.end(transport, [Session(70, 100)], scope=Scope())

    assert transport.calls[0].argv[-1] == "70:100"
    assert transport.calls[0].as_root


@pytest.mark.parametrize("name", ["sshd", "a (b) 1 2", ") S 1 2 3"])
def test_times_are_read_past_any_name_of_a_process(name: str):
    """The fields of proc(5): the begin is the 22nd."""
    fields = ["S", *(str(-number) for number in range(4, 22)), "777", *["0"] * 30]
    line = f"4321 ({name}) {' '.join(fields)}\n"

    words = ["sed", "-nE", jump_sessions._TIMES]
    done = subprocess.run(words, input=line, capture_output=True, text=True)

    assert done.stdout == "4321 777\n"
