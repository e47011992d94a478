"""The terminal client prints text of guests and hosts without their terminal codes."""

import pytest

from testbed.client.screen import Screen, say
from testbed.client.watching import Frame

HOSTILE = "\x1b]0;owned\x07a\x1b[2Jb\nmain | all is well\r\x9b31m\u202e"
SHOWN = "<U+009B>31m<U+202E>"
RESULT = {"name": "web-1", "status": "failed", "seconds": 1.0}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "event", "kind": "log", "resource": "web-1", "text": HOSTILE},
        {"type": "ack", "valid": False, "message": HOSTILE},
        {
            "type": "result",
            "index": 0,
            "resources": [RESULT | {"message": HOSTILE, "hint": ""}],
        },
        {
            "type": "result",
            "index": 0,
            "resources": [RESULT | {"message": "", "hint": HOSTILE}],
        },
    ],
    ids=["log", "refusal", "message", "hint"],
)
def test_control_characters_of_guests_are_named(
    frame: Frame, capsys: pytest.CaptureFixture[str]
) -> None:
    Screen(()).show(frame)

    printed = capsys.readouterr().out
    assert SHOWN in printed
    assert printed.replace("\n", "").isprintable()
    assert "\nmain" not in printed


def test_line_is_of_what_people_know(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"type": "event", "kind": "log", "resource": "tb12", "text": "ready"}

    Screen(()).show({**line, "name": "lab"})
    Screen(()).show(line)

    assert capsys.readouterr().out == "      lab | ready\n      tb12 | ready\n"


def test_lines_of_a_refusal_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("two findings\n  line 1 \x1b[31merror")

    assert capsys.readouterr().out == "two findings\n  line 1 error\n"


def test_failure_is_printed_with_the_end_of_its_detail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = Screen(())
    detail = "\n".join(f"line {number}" for number in range(20))
    failed = {"index": 0, "resource": "web-1", "data": {"detail": detail}}

    screen.show({"type": "event", "kind": "task-finished", **failed})
    result = RESULT | {"message": "It failed.", "hint": ""}
    screen.show({"type": "result", "index": 0, "resources": [result]})

    first, *rest = capsys.readouterr().out.splitlines()
    assert first.endswith("web-1 (1.0 s) It failed.")
    assert rest == [f"           | line {number}" for number in range(12, 20)]
