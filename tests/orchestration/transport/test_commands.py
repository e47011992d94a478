"""Promises of every transport about commands: here, over OpenSSH, over dropbear.

Words, streams, output and exit codes. How commands are ended before they end is in
test_ending_commands.py.
"""

import itertools
import threading
from hashlib import sha256

import pytest

from orchestration.errors import CommandFailed, NotEnoughSpace
from orchestration.events import Stream
from orchestration.transport.base import Command, command
from tests.orchestration.transport.conftest import carriers, names_of
from tests.orchestration.transport.shell import sh
from tests.waiting import wait_until

# Does nothing until a file is there.
HELD = "until test -e {}; do sleep 0.05; done"


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


def test_long_words_variables_and_input_arrive_as_they_are(machine, scope):
    long, script = "ü'$x\n" * 20_000, 'cat; printf "%s|%s" "$V" "$@" | sha256sum'
    words, value = (long, "", *["a b"] * 3_000), long[1:]
    cmd = command("sh", "-c", script, "sh", *words, env={"V": value}, stdin=b"typed\n")

    done = machine.run(cmd, scope=scope)

    # `printf` repeats its format, and takes missing words for empty ones.
    texts = [value, *words, *[""] * (len(words) % 2 == 0)]
    expected = "".join(
        "|".join(pair) for pair in zip(texts[::2], texts[1::2], strict=True)
    )
    digest = sha256(expected.encode()).hexdigest()
    assert done.stdout == f"typed\n{digest}  -\n"


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


def test_bytes_of_stdout_are_passed_on_and_not_kept(machine, scope):
    taken = bytearray()
    lines = []

    result = machine.run(
        command("sh", "-c", "head -c 3000000 /dev/zero; echo done >&2"),
        scope=scope,
        on_line=lambda stream, text: lines.append((stream, text)),
        on_bytes=taken.extend,
    )

    assert bytes(taken) == bytes(3_000_000)
    assert (result.stdout, result.stderr) == ("", "done\n")
    assert lines == [(Stream.STDERR, "done")]


def test_listener_of_bytes_that_refuses_ends_the_command(machine, scope):
    def refuse(data):
        raise NotEnoughSpace("It is full.")

    with pytest.raises(NotEnoughSpace):
        machine.run(command("sh", "-c", "cat /dev/zero"), scope=scope, on_bytes=refuse)

    assert scope.ended
    assert not any(proof.survivors for proof in scope.ended)


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
