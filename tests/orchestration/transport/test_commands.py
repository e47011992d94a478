"""What every transport promises about commands: here, over OpenSSH, over dropbear."""

import itertools
import threading
import time
from hashlib import sha256
from types import SimpleNamespace

import pytest

from orchestration.errors import Cancelled, CommandFailed, CommandTimedOut
from orchestration.events import Stream
from orchestration.transport import local
from orchestration.transport.base import Command, Scope, command
from orchestration.transport.ssh import confirming, session, transport
from tests.orchestration.transport.conftest import carriers, names_of, wait_until

# A foreground and a background child, one that is deaf to TERM and HUP, one that
# left the session, one that cleared nothing but its group.
STUBBORN = """
sleep 600 &
setsid sleep 601 &
(trap '' TERM HUP; sleep 602; sleep 603) &
nohup sleep 604 >/dev/null 2>&1 &
trap '' TERM HUP
sleep 605
sleep 606
"""


# Does nothing until a file is there.
HELD = "until test -e {}; do sleep 0.05; done"


def sh(script: str, **settings) -> Command:
    return Command(("sh", "-c", script), **settings)


def test_tells_outputs_and_exit_code(machine, scope):
    done = machine.run(sh("echo out; echo err >&2; exit 7"), scope=scope, check=False)

    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_failure_names_command_machine_and_code(machine, scope):
    with pytest.raises(CommandFailed, match=f"failed on {machine.machine}") as failed:
        machine.run(sh("echo why >&2; exit 3"), scope=scope)

    assert failed.value.exit_code == 3
    assert failed.value.detail == "why"


def test_missing_program_is_127(machine, scope):
    done = machine.run(command("no-such-program"), scope=scope, check=False)

    assert done.exit_code == 127
    assert "not found" in done.stderr


def test_program_ended_by_a_signal_is_128_plus_its_number(machine, scope):
    done = machine.run(sh("kill -KILL $$"), scope=scope, check=False)

    assert done.exit_code == 137


def test_words_arrive_as_they_are(machine, scope):
    words = ("a b", "$HOME", "`id`", "'", '"', "\\n", "*", "ü", "", "a\nb", "-e")

    done = machine.run(command("printf", "[%s]", *words), scope=scope)

    assert done.stdout == "".join(f"[{word}]" for word in words)


def test_environment_and_tag_arrive(machine, scope):
    cmd = sh('echo "$GREETING|$TESTBED_TAG"', env={"GREETING": "it's $5"})

    assert machine.run(cmd, scope=scope).stdout == f"it's $5|{scope.tag}\n"


def test_stdin_arrives_whole_and_ends(machine, scope):
    data = bytes(range(256)) * 40_000

    done = machine.run(Command(("md5sum",), stdin=data), scope=scope)
    empty = machine.run(command("cat"), scope=scope)

    assert done.stdout.split()[0] == "984448eee1a956505e200e4920c141f0"
    assert empty.stdout == ""


def test_stream_is_asked_for_as_it_is_taken(machine, scope):
    data = [bytes([number]) * 200_001 for number in range(20)]

    done = machine.run(Command(("sha256sum",)), scope=scope, feed=iter(data))

    assert done.stdout.split()[0] == sha256(b"".join(data)).hexdigest()


def test_endless_stream_is_left_when_nobody_reads_it(machine, scope):
    done = machine.run(
        sh("head -c 3; exit 7"),
        scope=scope,
        check=False,
        feed=itertools.repeat(b"x" * 10_000),
    )

    assert (done.stdout, done.exit_code) == ("xxx", 7)


def test_failure_of_a_stream_ends_the_command(machine, scope):
    def broken():
        yield b"some"
        raise EOFError("no more")

    with pytest.raises(EOFError, match="no more"):
        machine.run(sh("cat; sleep 600"), scope=scope, feed=broken())

    assert carriers(scope.tag) == []


def test_stdin_and_output_at_once_do_not_block(machine, scope):
    data = b"0123456789abcde\n" * 500_000

    lines = []
    machine.run(
        Command(("cat",), stdin=data),
        scope=scope,
        on_line=lambda _, line: lines.append(line),
    )

    assert len(lines) == 500_000
    assert set(lines) == {"0123456789abcde"}


def test_stdin_that_nobody_reads_is_no_failure(machine, scope):
    done = machine.run(Command(("true",), stdin=b"x" * 5_000_000), scope=scope)

    assert done.exit_code == 0


def test_lines_arrive_while_the_command_runs(machine, scope, tmp_path):
    seen: list[tuple[Stream, str]] = []
    first = threading.Event()

    def on_line(stream: Stream, line: str) -> None:
        seen.append((stream, line))
        first.set()

    thread = threading.Thread(
        target=lambda: machine.run(
            sh(f"echo one; echo two >&2; {HELD.format(tmp_path / 'go')}; echo three"),
            scope=scope,
            on_line=on_line,
        )
    )
    thread.start()
    assert first.wait(60)
    assert (Stream.STDOUT, "three") not in seen
    (tmp_path / "go").touch()
    thread.join(60)

    assert sorted(seen) == [
        (Stream.STDERR, "two"),
        (Stream.STDOUT, "one"),
        (Stream.STDOUT, "three"),
    ]


def test_only_the_last_mebibyte_is_kept_and_bytes_are_decoded_leniently(machine, scope):
    cmd = sh("head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377end'")

    done = machine.run(cmd, scope=scope)

    assert len(done.stdout) == 1024 * 1024
    assert done.stdout.endswith("x\ufffdend")


def test_long_line_comes_in_pieces(machine, scope):
    sizes = []
    machine.run(
        sh("head -c 10000000 /dev/zero | tr '\\0' x"),
        scope=scope,
        on_line=lambda _, line: sizes.append(len(line)),
    )

    assert sum(sizes) == 10_000_000
    assert max(sizes) <= 64 * 1024


def test_background_process_does_not_hold_the_command(machine, scope):
    done = machine.run(sh("sleep 600 & echo started"), scope=scope, timeout_s=30)

    assert done.stdout == "started\n"
    wait_until(lambda: names_of(carriers(scope.tag)) == ["sleep 600"])
    assert [p.name for p in machine.end(scope.tag).found] == ["sleep 600"]


@pytest.fixture
def passed(monkeypatch):
    """Seconds to add to the transports' clock: time passes when the test says so."""
    passed = []
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() + sum(passed), sleep=time.sleep
    )
    for module in (local, confirming, session, transport):
        monkeypatch.setattr(module, "time", clock)
    return passed


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
