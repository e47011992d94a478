"""The requests of commands: their words and options as the server gets them."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.client.rest.problems import NotThere
from testbed.client.rest.server import Server, StartedRun
from testbed.client.terminal.following import Follower
from testbed.client.terminal.program import run
from testbed.client.terminal.tokens import SignedIn, Tokens
from testbed.client.watching import Frame

Asked = Callable[..., Frame]
ANSWERS: Frame = {"blocks": [], "message": "", "hint": ""}


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Run a command about `lab`; return its request, with the address as `path`."""
    wishes: list[Frame] = []

    def start(server: Server, path: str, wish: Frame) -> StartedRun:
        wishes.append({"path": path, "wish": wish})
        return StartedRun(7, ())

    monkeypatch.setattr(Server, "start", start)
    monkeypatch.setattr(Server, "get", lambda *words, **query: ANSWERS)
    monkeypatch.setattr(Follower, "drive", lambda follower: 0)
    Tokens.of_user().keep(SignedIn("http://lab.example", "olive", "tb_x"))

    def ask(*words: str) -> Frame:
        assert run(["--project-name", "lab", *words]) == 0
        (wish,) = wishes
        wishes.clear()
        return wish

    return ask


def test_command_after_two_dashes_reaches_the_server_word_by_word(asked: Asked) -> None:
    one = asked("exec", "web-*", "--sudo", "--env", "A=x=y", "--", "ls", "-l", "a b")

    wish = one["wish"]
    assert one["path"] == "/testbeds/olive/lab/exec"
    assert (wish["form"], wish["words"]) == ("command", ["ls", "-l", "a b"])
    assert (wish["selection"], wish["targets"]) == ("web-*", "guests")
    assert wish["conditions"]["env"] == {"A": "x=y"}
    assert wish["conditions"]["sudo"]


def test_shell_and_scripts_are_asked_for(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "x.sh"
    script.write_text("id\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed")))

    shell = asked("exec", "@all", "--shell", "--stdin", "-", "--", "ls", "|", "wc")
    pasted = asked("exec", "@all", "--script", str(script), "--", "one")
    stored = asked("exec", "@all", "--file", "setup.sh")

    assert shell["wish"]["words"] == ["ls | wc"]
    assert shell["wish"]["conditions"]["stdin"] == "typed"
    assert (pasted["wish"]["text"], pasted["wish"]["words"]) == ("id\n", ["one"])
    assert (stored["wish"]["form"], stored["wish"]["path"]) == ("script", "setup.sh")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"caf\xe9\n", "is no text in UTF-8"), (b"a" * 1024**2 + b"a", "above 1 MiB")],
    ids=["latin", "long"],
)
@pytest.mark.parametrize("verb", [("exec",), ("commands", "save", "who")])
def test_standard_input_that_cannot_be_sent_is_wrong_use(
    asked: Asked,
    tmp_path: Path,
    verb: tuple[str, ...],
    data: bytes,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "input"
    file.write_bytes(data)
    words = ("@all", "--stdin", str(file), "--project-name", "lab", "--", "cat")

    assert run([*verb, *words]) == 2

    said = capsys.readouterr().err
    assert sentence in said
    assert "Push it" in said


def test_tool_has_no_limit_and_a_command_one(asked: Asked) -> None:
    limits = [
        asked("exec", "main", "--hosts", *option, "--", "top")["wish"]
        for option in ((), ("--tool",), ("--tool", "--timeout", "60"))
    ]

    assert [one["conditions"]["timeout_s"] for one in limits] == [3600, 0, 60]
    assert {one["targets"] for one in limits} == {"hosts"}


def test_pushes_and_fetches_are_asked_for(asked: Asked) -> None:
    pushed = asked("push", "@all", "site", "/srv/site", "--sudo")["wish"]
    fetched = asked("fetch", "web", "/var/log", "--timeout", "60")["wish"]

    assert (pushed["form"], pushed["path"]) == ("push", "site")
    assert pushed["target"] == "/srv/site"
    assert pushed["conditions"]["sudo"]
    assert (fetched["form"], fetched["path"]) == ("fetch", "/var/log")
    assert fetched["conditions"]["timeout_s"] == 60
    assert "target" not in fetched


def test_power_verb_is_sent_with_its_guests(asked: Asked) -> None:
    one = asked("power", "pause", "web-[0-1]")

    assert one["path"] == "/testbeds/olive/lab/power"
    assert one["wish"] == {"verb": "pause", "selection": "web-[0-1]"}


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (
            ("create", "-n", "web", "-s", "base", "--description", "as it was"),
            {"guest": "web", "name": "base", "description": "as it was"},
        ),
        (
            ("restore", "-n", "web", "-s", "base", "--before", "now"),
            {"guest": "web", "name": "base", "before": "now"},
        ),
        (
            ("delete", "-n", "web", "-s", "base", "--children"),
            {"guest": "web", "name": "base", "children": True},
        ),
        (("delete", "-n", "web", "-a"), {"guest": "web", "every": True}),
        (("delete", "-a", "-s", "base"), {"guest": "@all", "name": "base"}),
        (("create", "-a", "-s", "base"), {"guest": "@all", "name": "base"}),
        (("restore", "-a"), {"guest": "@all", "name": ""}),
        (
            ("rename", "-n", "web", "-s", "base", "--title", "before"),
            {"guest": "web", "name": "base", "title": "before"},
        ),
    ],
    ids=lambda found: " ".join(found) if isinstance(found, tuple) else "",
)
def test_act_on_a_snapshot_is_sent_with_its_options(
    asked: Asked, words: tuple[str, ...], wish: Frame
) -> None:
    one = asked("snapshot", *words)

    assert one["path"] == "/testbeds/olive/lab/snapshots"
    assert one["wish"]["verb"] == words[0]
    assert wish.items() <= one["wish"].items()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("delete", "-a"), "or a guest with -n for all of its snapshots"),
        (("delete", "-n", "web"), "Name it with -s."),
        (("delete", "-s", "base"), "Name one with -n, or all with -a."),
        (("delete", "-n", "web", "-a", "-s", "base"), "Leave out -s and --children"),
        (("delete", "-n", "web", "-a", "--children"), "Leave out -s and --children"),
        (("list", "-n", "web", "-a"), "leave out -a for one guest"),
    ],
    ids=lambda found: " ".join(found) if isinstance(found, tuple) else "",
)
def test_unclear_names_of_snapshots_are_wrong_use(
    asked: Asked, words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--project-name", "lab", "snapshot", *words]) == 2

    assert hint in capsys.readouterr().err


def test_group_snapshot_gets_no_other_title(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("snapshot", "rename", "-a", "-s", "base", "--title", "before")

    assert run(["--project-name", "lab", *words]) == 2

    assert "No such option" in capsys.readouterr().err


def test_name_of_a_guest_is_one_part_of_its_address(asked: Asked) -> None:
    one = asked("check-guest", "../other?")

    assert one["path"] == "/testbeds/olive/lab/guests/..%2Fother%3F/check"


def test_guest_is_saved_as_an_image(asked: Asked) -> None:
    one = asked("images", "save", "web", "base", "--shut-down")

    assert one["path"] == "/testbeds/olive/lab/images"
    assert one["wish"] == {"guest": "web", "name": "base", "shut_down": True}


@pytest.mark.parametrize(
    "words",
    [
        ("cancel", "0"),
        ("logs", "0"),
        ("attach", "0"),
        ("runs", "-n", "0"),
        ("runs", "-n", "1001"),
        ("runs", "--all", "-n", "-1"),
    ],
)
def test_number_that_no_run_has_means_no_other_run(
    asked: Asked, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--project-name", "lab", *words]) == 2

    assert "is not in the range" in capsys.readouterr().err


@pytest.fixture
def addresses(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that commands about testbeds ask."""
    found: list[str] = []

    def send(server: Server, method: str, path: str, *more: object, **query: object):
        found.append(path)
        named = {"testbed": "", "description": "", "deleted": ""}
        return {"items": [], "trash": 0, "tags": [], **named}

    monkeypatch.setattr(Server, "send", send)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("describe", "--tag", "ring"),
        ("star",),
        ("protect",),
        ("unprotect",),
        ("destroy", "--yes"),
    ],
)
def test_option_names_the_testbed_in_place_of_the_first_word(
    addresses: list[str], words: tuple[str, ...]
) -> None:
    assert run(["--project-name", "lab", "testbeds", *words]) == 0
    assert run(["testbeds", words[0], "other", *words[1:]]) == 0

    assert [one.split("/")[3] for one in addresses] == ["lab", "other"]


def test_folders_testbed_is_destroyed_only_by_its_name(
    addresses: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kvm-compose.yaml").touch()

    assert run(["testbeds", "destroy", "--yes"]) == 2

    assert "No testbed is named." in capsys.readouterr().err
    assert not addresses


def test_snapshots_are_shown_in_words_apart_by_a_line(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"name": "base", "parent": "", "current": True, "memory_bytes": 2048}
    two = {"name": "next", "parent": "base", "current": False, "memory_bytes": None}
    found = {"guests": [{"guest": "web", "snapshots": [one, two]}]}
    monkeypatch.setattr(Server, "get", lambda *words, **query: found)

    assert run(["--project-name", "lab", "snapshot", "info", "-n", "web"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "name: base",
        "parent: -",
        "current: yes",
        "memory_bytes: 2.0 KiB",
        "",
        "name: next",
        "parent: base",
        "current: no",
        "memory_bytes: -",
    ]


def test_capture_that_failed_has_the_exit_code_of_its_run(
    asked: Asked,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def drive(follower: Follower) -> int:
        follower.end = {"status": "failed"}
        return 1

    def pieces(server: Server, path: str) -> Iterator[bytes]:
        raise NotThere("This run has no packets.", status=404, body={})
        yield b""

    monkeypatch.setattr(Follower, "drive", drive)
    monkeypatch.setattr(Server, "pieces", pieces)

    assert run(["--project-name", "lab", "capture", "web"]) == 1

    assert "No packet was kept." in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_fetch_that_is_left_goes_on(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def get(server: Server, path: str, **query: object) -> Frame:
        raise KeyboardInterrupt

    waiting = {"id": 5, "status": "waiting"}
    monkeypatch.setattr(Server, "send", lambda *words: waiting)
    monkeypatch.setattr(Server, "get", get)

    assert run(["source", "fetch", "--project-name", "lab"]) == 130

    said = capsys.readouterr().err
    assert said == "Fetch 5 goes on. See `testbed source fetches`.\n"


def test_log_is_printed_as_text_or_each_line_as_json(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["one\ntw", "o\n", "three"]
    monkeypatch.setattr(Server, "text", lambda *words, **query: iter(parts))

    assert run(["logs", "7"]) == 0
    assert capsys.readouterr().out == "one\ntwo\nthree"
    assert run(["logs", "7", "--json"]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"line": "one"}, {"line": "two"}, {"line": "three"}]


@pytest.mark.parametrize("option", [("--role", "viewer"), ("--remove",)])
def test_share_with_no_user_is_wrong_use(
    asked: Asked, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["testbeds", "share", "mark", *option]) == 2

    said = capsys.readouterr().err
    assert "No user or group is named." in said
    assert "the testbed comes first" in said


def test_testbed_is_copied_with_its_disks(asked: Asked) -> None:
    one = asked("testbeds", "copy", "lab", "lab-2", "--disks")

    assert one["path"] == "/testbeds/olive/lab/copies"
    assert one["wish"] == {"name": "lab-2", "disks": True}
