"""The terminal client prints text of guests and hosts without their terminal codes."""

import pytest

from testbed.client.api import Frame
from testbed.client.screen import Screen, say

HOSTILE = "\x1b]0;owned\x07a\x1b[2Jb\nmain | all is well\r\x9b31m\u202e"
SHOWN = "<U+009B>31m<U+202E>"
RESULT = {"name": "web-1", "status": "failed", "seconds": 1.0}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "event", "kind": "log", "resource": "web-1", "text": HOSTILE},
        {"type": "ack", "valid": False, "message": HOSTILE},
        {"type": "result", "resources": [RESULT | {"message": HOSTILE, "hint": ""}]},
        {"type": "result", "resources": [RESULT | {"message": "", "hint": HOSTILE}]},
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


def test_lines_of_a_refusal_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("two findings\n  line 1 \x1b[31merror")

    assert capsys.readouterr().out == "two findings\n  line 1 error\n"
