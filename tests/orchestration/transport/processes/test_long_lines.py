"""A line that is too long for a request is the first part of its own input."""

import subprocess

from orchestration.transport.processes.long_lines import LONGEST_BYTES, request_of

LONG = f"echo {'x' * LONGEST_BYTES} | wc -c; cat; exit 3"


def ran(request: str, given: bytes) -> tuple[int, bytes]:
    done = subprocess.run(["sh", "-c", request], input=given, stdout=subprocess.PIPE)
    return done.returncode, done.stdout


def test_usual_line_is_requested_as_it_is() -> None:
    assert request_of("echo a", "tag") == ("echo a", b"")


def test_long_line_leaves_the_input_behind_it_to_the_command() -> None:
    request, before = request_of(LONG, "tag")

    assert len(request) < 300
    assert ran(request, before + b"typed") == (3, b"8001\ntyped")


def test_line_that_arrived_in_part_is_not_run() -> None:
    request, before = request_of(f"echo begun\n{LONG}", "tag")

    assert ran(request, before[:-1]) == (255, b"")
    assert ran(request, b"") == (255, b"")
