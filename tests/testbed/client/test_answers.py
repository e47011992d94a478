"""The answers of a command in a terminal: equal ones once, failures with what to do."""

import pytest

from testbed.client.answers import has_success, show_answers, show_failures
from testbed.client.watching import Frame

BLOCK = {"exit_code": 0, "message": "", "hint": "", "status": "done", "count": 1}
FAILED = {**BLOCK, "folded": "db", "status": "failed", "exit_code": 2}
FAILED |= {"message": "exit code 2", "output": [["stdout", "wor\x1b[2Jks"]]}


def printed(*blocks: Frame, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    answers = {"blocks": list(blocks)}
    show_answers(answers)
    show_failures(answers)
    found = capsys.readouterr()
    return found.out, found.err


def test_equal_answers_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    both = [["stdout", "wor\x1b[2Jks"], ["stderr", "no\x1b[2Jt"]]
    equal = {
        **BLOCK,
        "folded": "web-[0-1]",
        "count": 2,
        "output": [["stdout", "Linux"]],
    }

    out, err = printed({**FAILED, "output": both}, equal, capsys=capsys)

    rule = "-" * 15
    assert out.splitlines() == [
        *(rule, "web-[0-1] (2)", rule, "Linux"),
        *(rule, "db exit code 2", rule, "works"),
    ]
    assert err == "db: not\ndb: exit code 2\n"


def test_copies_are_printed_with_what_arrived(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = "3 files, 4.0 KiB, digest verified"
    block = {**BLOCK, "folded": "web-[0-1]", "count": 2, "message": message}

    out, _ = printed({**block, "output": None}, capsys=capsys)

    assert out == f"web-[0-1] (2): {message}\n"


@pytest.mark.parametrize(
    "message",
    ["Could not write /srv in guest web.", "Could not write /srv in guest web"],
)
def test_failure_is_printed_with_what_to_do(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"message": message, "hint": "Use sudo.", "output": None}

    _, err = printed({**FAILED, "folded": "web", **said}, capsys=capsys)

    assert err == "web: Could not write /srv in guest web. Use sudo.\n"


def test_tool_that_was_stopped_is_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped = {**BLOCK, "folded": "web", "status": "cancelled", "output": []}

    show_failures({"blocks": [stopped]}, stopped_is_failed=False)

    assert capsys.readouterr().err == ""
    assert not has_success({"blocks": [stopped, FAILED]})
