"""Promises of every transport about the end of commands: timeout, cancel, tags.

Here, over OpenSSH, over dropbear. Whatever carries the tag is ended and proven to be
gone, whatever does not is spared. What commands do meanwhile is in test_commands.py.
"""

import threading

import pytest

from orchestration.errors import Cancelled, CommandTimedOut
from orchestration.events import Stream
from orchestration.transport.base import Scope, command
from tests.orchestration.transport.conftest import carriers, names_of
from tests.orchestration.transport.shell import STUBBORN, sh
from tests.waiting import wait_until


def test_timeout_ends_everything_and_keeps_the_last_output(machine, scope, passed):
    def on_line(_: Stream, line: str) -> None:
        wait_until(lambda: len(carriers(scope.tag)) >= 7)
        passed.append(3600)

    with pytest.raises(CommandTimedOut, match=r"within 900 s") as late:
        machine.run(
            sh(f"echo so far; {STUBBORN}"), scope=scope, timeout_s=900, on_line=on_line
        )

    assert late.value.detail == "so far"
    assert carriers(scope.tag) == []
    assert scope.ended[0].survivors == ()


def test_cancel_ends_the_stubborn_too_and_proves_it(machine, scope):
    raised: list[Exception] = []

    def run() -> None:
        try:
            machine.run(sh(STUBBORN), scope=scope)
        except Cancelled as exc:
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: len(carriers(scope.tag)) >= 7)
    pids = set(carriers(scope.tag))
    scope.cancel()
    thread.join(120)

    assert len(raised) == 1
    assert carriers(scope.tag) == []
    assert pids <= {process.pid for process in scope.ended[0].found}
    assert "setsid sleep" not in [p.name for p in scope.ended[0].survivors]
    assert scope.ended[0].survivors == ()


def test_cancelled_scope_starts_nothing(machine, scope, tmp_path):
    scope.cancel()

    with pytest.raises(Cancelled):
        machine.run(command("touch", str(tmp_path / "x")), scope=scope)

    assert not (tmp_path / "x").exists()


def test_error_of_the_listener_ends_the_command(machine, scope):
    def on_line(stream: Stream, line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="one"):
        machine.run(sh("echo one; sleep 600"), scope=scope, on_line=on_line)

    assert carriers(scope.tag) == []


def test_untagged_command_can_be_cancelled_too(machine):
    scope = Scope()

    with pytest.raises(Cancelled):
        machine.run(
            sh("echo runs; exec sleep 607"),
            scope=scope,
            on_line=lambda *_: scope.cancel(),
        )

    (found,) = scope.ended[0].found
    assert "sleep 607" in found.name


def test_end_spares_tags_that_only_look_alike(machine, scope):
    near, far = Scope(f"{scope.tag}.1"), Scope(f"{scope.tag}.10")
    for one in (near, far):
        machine.run(sh("sleep 600 >/dev/null 2>&1 &"), scope=one)
        wait_until(lambda tag=one.tag: names_of(carriers(tag)) == ["sleep 600"])

    ended = machine.end(near.tag)

    assert [process.name for process in ended.found] == ["sleep 600"]
    assert len(carriers(far.tag)) == 1
    assert len(machine.end(f"{scope.tag}.").found) == 1


def test_end_finds_what_forks_while_it_is_ended(machine, scope):
    machine.run(
        sh(
            "bomb() { trap '' TERM; while :; do sleep 0.01; (sleep 30 &) ; done; }; "
            "(bomb) >/dev/null 2>&1 &"
        ),
        scope=scope,
    )
    wait_until(lambda: len(carriers(scope.tag)) > 5)

    ended = machine.end(scope.tag, grace_s=0.1)

    assert len(ended.found) > 3
    assert ended.survivors == ()
    assert carriers(scope.tag) == []


def test_end_without_anything_to_end(machine):
    ended = machine.end("nobody.has.this")

    assert (ended.machine, ended.found, ended.survivors) == (machine.machine, (), ())


@pytest.mark.parametrize("prefix", ["", ".", "a b", "$(id)", "*"])
def test_end_refuses_what_is_no_tag(machine, prefix):
    with pytest.raises(ValueError, match="not a tag"):
        machine.end(prefix)
