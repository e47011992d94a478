"""The question before something is erased, at a terminal and in a script."""

import io

import pytest

from testbed.client.terminal.agreement import agreement

LOSS = {"sort": "disk", "name": "web", "host": "main", "reason": "it is recreated"}
ERASES = {
    "must_type": "lab",
    "losses": [{**LOSS, "bytes": 1 << 30}, {**LOSS, "name": "db", "bytes": None}],
    "kept": ["The snapshots of other guests stay."],
}


class Keyboard(io.StringIO):
    """A terminal at which something is typed."""

    def isatty(self) -> bool:
        return True


def test_option_agrees_to_the_list_that_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert agreement(yes=True)(ERASES)

    assert capsys.readouterr().err.splitlines() == [
        "This is erased:",
        "  disk web on main, 1.0 GiB (it is recreated)",
        "  disk db on main, size not seen (it is recreated)",
        "The snapshots of other guests stay.",
    ]


def test_script_without_the_option_agrees_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("lab\n"))

    assert not agreement(yes=False)(ERASES)


@pytest.mark.parametrize(
    ("must_type", "typed", "agrees"),
    [("lab", "lab", True), ("lab", "yes", False), ("", "yes", True), ("", "", False)],
)
def test_person_types_the_name_or_yes(
    must_type: str, typed: str, agrees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(f"{typed}\n"))

    assert agreement(yes=False)({**ERASES, "must_type": must_type}) is agrees
