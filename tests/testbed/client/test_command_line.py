"""`exec` on the command line: what it asks for, what it prints, how it ends."""

import io
import json
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from testbed.client import __main__ as command_line
from testbed.client.api import Client, Frame, OnFrame, Refused, StartedRun
from testbed.models import Run, Testbed
from tests.testbed.conftest import Doors

BLOCK = {"exit_code": 0, "message": "", "hint": "", "status": "done", "count": 2}
ANSWERS: Frame = {
    "blocks": [
        {
            **BLOCK,
            "folded": "db",
            "count": 1,
            "status": "failed",
            "exit_code": 2,
            "message": "exit code 2",
            "output": [["stdout", "wor\x1b[2Jks"], ["stderr", "no\x1b[2Jt"]],
        },
        {**BLOCK, "folded": "web-[0-1]", "output": [["stdout", "Linux"]]},
    ]
}


VERBS_FIRST = ("power", "snapshot", "image", "copy")


class FakeServer:
    """Stands in for the client of a server."""

    status = "succeeded"
    problem: BaseException | None = None
    before: tuple[Frame, ...] = ()
    rest: tuple[Frame, ...] = ()
    asked: tuple[str, Frame] = ("", {})
    forms: list[str]

    def __init__(self, url: str, **options: object) -> None:
        self.forms = []

    def sign_in(self, user: str, password: str) -> None:
        assert (user, password) == ("olive", "secret")

    def execute(self, slug: str, wanted: Frame) -> StartedRun:
        FakeServer.asked = (slug, wanted)
        return StartedRun(7, ())

    def power(self, slug: str, verb: str, selection: str) -> StartedRun:
        FakeServer.asked = (slug, {"verb": verb, "selection": selection})
        return StartedRun(7, ({"index": 0, "title": "Pause 2 guests"},))

    def snapshot(self, slug: str, verb: str, guest: str, **wish: object) -> StartedRun:
        FakeServer.asked = (slug, {"verb": verb, "guest": guest, **wish})
        return StartedRun(7, ({"index": 0, "title": "Take snapshot base"},))

    def save_image(
        self, slug: str, guest: str, name: str, **wish: object
    ) -> StartedRun:
        FakeServer.asked = (slug, {"guest": guest, "name": name, **wish})
        return StartedRun(7, ({"index": 0, "title": "Save 1 guest as an image"},))

    def copy_testbed(self, slug: str, name: str) -> None:
        FakeServer.asked = (slug, {"name": name})

    def copy_with_disks(self, slug: str, name: str) -> StartedRun:
        FakeServer.asked = (slug, {"name": name, "disks": True})
        return StartedRun(7, ({"index": 0, "title": "Save 1 guest as an image"},))

    def images(self) -> list[Frame]:
        own = {"id": 3, "name": "base", "owner": "olive", "bytes": 1 << 20}
        own |= {"sha256": "ab" * 32, "ready": True, "shared": False}
        return [own | {"id": 2, "owner": "mark", "shared": True}, own]

    def delete_image(self, number: int) -> None:
        FakeServer.asked = ("", {"deleted": number})

    def all_snapshots(self, slug: str) -> Frame:
        first = {"name": "all", "title": "all", "parent": "", "current": False}
        first |= {"created_at": "then", "memory": True, "memory_bytes": 1 << 20}
        first |= {"status": "running"}
        second = first | {"name": "x", "title": "next", "parent": "all"}
        second |= {"current": True, "memory": False, "created_at": "later"}
        group = {"name": "all", "created_at": "then", "missing": ["db"]}
        group |= {"description": "words"}
        web = {"guest": "web", "host": "main", "snapshots": [first, second]}
        return {"groups": [group], "guests": [web], "schedules": []}

    def drive(self, run: StartedRun, on_frame: OnFrame) -> str:
        for frame in self.before:
            on_frame(frame)
        if self.problem:
            raise self.problem
        return self.status

    def send_form(self, path: str, form: Frame) -> None:
        self.forms.append(path)

    def follow(self, number: int, on_frame: OnFrame, *, after: int = 0) -> str:
        assert self.forms == ["/runs/7/cancel/"]
        for frame in (*self.before, *self.rest):
            if frame["seq"] > after:
                on_frame(frame)
        return "cancelled"

    def answers(self, number: int) -> Frame:
        return ANSWERS

    def save(self, path: str, to: Path) -> None:
        to.write_text(path)

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(command_line, "Client", FakeServer)
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    sign_in = ["http://server", "--user", "olive", "--password-file", str(secret)]
    return lambda *words, verb="exec": command_line.main(
        [*sign_in, verb, *(() if verb in VERBS_FIRST else ("lab",)), *words]
    )


def test_command_after_two_dashes_reaches_the_server_word_by_word(run):
    code = run("web-*", "--sudo", "--env", "A=x=y", "--", "ls", "-l", "a b")

    slug, wanted = FakeServer.asked
    assert (code, slug) == (0, "lab")
    assert (wanted["form"], wanted["words"]) == ("command", ["ls", "-l", "a b"])
    assert wanted["selection"] == "web-*"
    assert wanted["conditions"]["env"] == {"A": "x=y"}
    assert wanted["conditions"]["sudo"]


def test_command_behind_its_options_needs_no_dashes(run):
    run("web", "--shell", "ls | wc")

    assert FakeServer.asked[1]["words"] == ["ls | wc"]


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        ("exec", ("web", "--root", "--", "id"), "unknown: --root"),
        ("exec", ("web", "uname", "-r"), "unknown: -r. Write the command behind --"),
        ("push", ("web", "a", "/b", "c d"), "unknown: 'c d'"),
        ("fetch", ("web", "/a", "--", "x"), "only exec takes words behind --"),
    ],
)
def test_word_that_a_verb_does_not_know_is_named(run, capsys, verb, words, said):
    with pytest.raises(SystemExit):
        run(*words, verb=verb)

    assert said in capsys.readouterr().err


def test_shell_and_scripts_are_asked_for(run, tmp_path: Path, monkeypatch):
    script = tmp_path / "x.sh"
    script.write_text("id\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"typed")))

    run("@all", "--shell", "--stdin", "-", "--", "ls", "|", "wc")
    shell = FakeServer.asked[1]
    run("@all", "--script", str(script), "--", "one")
    pasted = FakeServer.asked[1]
    run("@all", "--file", "setup.sh")
    stored = FakeServer.asked[1]

    assert shell["words"] == ["ls | wc"]
    assert shell["conditions"]["stdin"] == "typed"
    assert (pasted["text"], pasted["words"]) == ("id\n", ["one"])
    assert (stored["form"], stored["path"]) == ("script", "setup.sh")


@pytest.mark.parametrize("option", ["--stdin", "--script"])
def test_file_that_is_no_text_is_one_sentence(run, capsys, tmp_path: Path, option: str):
    file = tmp_path / "picture"
    file.write_bytes(b"\xff\xd8\xff")

    code = run("web", option, str(file), "--", "cat")

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith(f"Error: {file} is no text in UTF-8.")


@pytest.mark.parametrize("option", ["--stdin", "--script"])
def test_file_that_is_not_there_is_one_sentence(run, capsys, option: str):
    assert run("web", option, "/nowhere", "--", "cat") == 1
    assert "Error: [Errno 2] No such file" in capsys.readouterr().err


def test_pushes_and_fetches_are_asked_for(run):
    run("@all", "site", "/srv/site", "--sudo", verb="push")
    pushed = FakeServer.asked[1]
    run("web", "/var/log", "--timeout", "60", verb="fetch")
    fetched = FakeServer.asked[1]

    assert (pushed["form"], pushed["path"]) == ("push", "site")
    assert pushed["target"] == "/srv/site"
    assert pushed["conditions"]["sudo"]
    assert (fetched["form"], fetched["path"]) == ("fetch", "/var/log")
    assert fetched["conditions"]["timeout_s"] == 60
    assert "target" not in fetched


def test_fetched_files_are_saved_as_an_archive(run, monkeypatch, tmp_path: Path):
    run("web", "/var/log", "--to", str(tmp_path / "log.tar"), verb="fetch")
    failed = {
        "blocks": [{**BLOCK, "folded": "web", "status": "failed", "output": None}]
    }
    monkeypatch.setattr(FakeServer, "answers", lambda *_: failed)
    run("web", "/var/log", "--to", str(tmp_path / "none.tar"), verb="fetch")

    assert (tmp_path / "log.tar").read_text() == "/runs/7/fetched/archive/"
    assert not (tmp_path / "none.tar").exists()


def test_copies_are_printed_with_what_arrived(
    run, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    message = "3 files, 4.0 KiB, digest verified"
    block = {**BLOCK, "folded": "web-[0-1]", "message": message, "output": None}
    monkeypatch.setattr(FakeServer, "answers", lambda *_: {"blocks": [block]})

    run("@all", "site", "/srv/site", verb="push")

    assert capsys.readouterr().out == f"web-[0-1] (2): {message}\n"


@pytest.mark.parametrize(
    "message",
    ["Could not write /srv in guest web.", "Could not write /srv in guest web"],
)
def test_failure_is_printed_with_what_to_do(run, monkeypatch, capsys, message: str):
    said = {"message": message, "hint": "Use sudo."}
    block = {**BLOCK, **said, "folded": "web", "status": "failed", "output": None}
    monkeypatch.setattr(FakeServer, "answers", lambda *_: {"blocks": [block]})

    run("web", "site", "/srv", verb="push")

    assert capsys.readouterr().err == (
        "web: Could not write /srv in guest web. Use sudo.\n"
    )


def test_hosts_are_asked_for_by_an_option_of_their_own(run):
    run("main", "--hosts", "--", "uptime")
    hosts = FakeServer.asked[1]
    run("main", "--", "uptime")
    guests = FakeServer.asked[1]

    assert (hosts["selection"], hosts["targets"]) == ("main", "hosts")
    assert guests["targets"] == "guests"


def test_equal_answers_are_printed_once(run, capsys: pytest.CaptureFixture[str]):
    run("@all", "--", "uname")

    printed = capsys.readouterr()
    rule = "-" * 15
    assert printed.out.splitlines() == [
        *(rule, "web-[0-1] (2)", rule, "Linux"),
        *(rule, "db exit code 2", rule, "works"),
    ]
    assert printed.err == "db: not\ndb: exit code 2\n"


def test_answers_are_printed_as_json(run, capsys: pytest.CaptureFixture[str]):
    run("@all", "--json", "--", "uname")

    assert json.loads(capsys.readouterr().out) == ANSWERS


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 130)]
)
def test_exit_code_says_how_the_run_ended(run, monkeypatch, status, code):
    monkeypatch.setattr(FakeServer, "status", status)

    assert run("@all", "--", "uname") == code


def test_interrupt_cancels_the_run(run, monkeypatch):
    monkeypatch.setattr(FakeServer, "problem", KeyboardInterrupt())

    assert run("@all", "--", "uname") == 130


def log_frame(seq: int, text: str, stream: str = "stdout") -> Frame:
    words = {"type": "event", "kind": "log", "resource": "web", "stream": stream}
    return {**words, "seq": seq, "text": text}


@pytest.fixture
def interrupted_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (log_frame(1, "tick\x1b[2J"), log_frame(2, "odd", "stderr"))
    monkeypatch.setattr(FakeServer, "before", before)
    monkeypatch.setattr(FakeServer, "problem", KeyboardInterrupt())
    monkeypatch.setattr(FakeServer, "rest", (log_frame(3, "last"),))
    block = {**BLOCK, "folded": "web", "count": 1, "status": "cancelled", "output": []}
    end = {"blocks": [block], "message": "Stopped by olive.", "hint": ""}
    monkeypatch.setattr(FakeServer, "answers", lambda *_: end)


@pytest.mark.usefixtures("interrupted_tool")
def test_tool_shows_its_lines_as_they_come_each_once(run, capsys):
    code = run("web", "--tool", "--", "ticker")

    printed = capsys.readouterr()
    assert code == 130
    assert printed.out == "web: tick\nweb: last\n"
    assert printed.err.splitlines() == [
        *("web: odd", "Cancelling run 7…", "Stopped by olive.")
    ]


@pytest.mark.usefixtures("interrupted_tool")
def test_lines_of_a_tool_stay_out_of_its_json(run, capsys):
    run("web", "--tool", "--json", "--", "ticker")

    printed = capsys.readouterr()
    assert json.loads(printed.out)["message"] == "Stopped by olive."
    assert "web: tick" in printed.err


def test_second_interrupt_leaves_the_run_to_the_server(run, monkeypatch, capsys):
    def interrupted(*_: object, **more: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeServer, "problem", KeyboardInterrupt())
    monkeypatch.setattr(FakeServer, "follow", interrupted)

    assert run("@all", "--", "sleep", "9") == 130


def test_refusal_is_an_error(run, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(FakeServer, "problem", Refused("No guest is selected."))

    assert run("@all", "--", "uname") == 1
    assert capsys.readouterr().err == "Error: No guest is selected.\n"


@pytest.mark.django_db(transaction=True)
def test_client_starts_a_command_at_a_real_server(
    live_server: LiveServer, generated: Testbed, owner: User, doors: Doors
):
    generated.condition = Testbed.Condition.UP
    generated.save()
    client = Client(live_server.url)
    client.sign_in("olive", "olive-pass")

    run = client.execute(
        "lab", {"form": "command", "selection": "@all", "words": ["id"]}
    )
    with pytest.raises(Refused, match="There is no guest x in this testbed"):
        client.execute("lab", {"form": "command", "selection": "x", "words": ["id"]})
    client.close()

    assert Run.objects.get().pk == run.number
    assert [entry["kind"] for entry in run.instructions] == ["run-program", "end"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "words",
    [
        ("exec", "ghost", "web", "--", "id"),
        ("power", "pause", "ghost", "web"),
        ("snapshot", "create", "ghost", "web", "base"),
        ("snapshot", "list", "ghost"),
    ],
)
def test_unknown_testbed_is_one_sentence(at, capsys, words: tuple[str, ...]):
    assert at(*words) == 1
    assert capsys.readouterr().err == (
        "Error: There is no testbed ghost, or it is another user's.\n"
    )


@pytest.mark.django_db(transaction=True)
def test_end_is_extended_and_chosen(at, capsys, generated: Testbed):
    Testbed.objects.update(condition=Testbed.Condition.UP)

    assert at("extend", "lab", "--until", "2001-01-01T00:00") == 1
    assert "is in the past" in capsys.readouterr().err
    assert at("extend", "lab", "--hours", "nan") == 1
    assert "is no number of hours" in capsys.readouterr().err
    assert at("at-end", "lab", "keep") == 1
    assert "Only lab admins" in capsys.readouterr().err
    assert at("at-end", "lab", "stop") == 0
    assert capsys.readouterr().out == "lab has no end. At the end: stop.\n"
    assert at("extend", "lab") == 0
    said = capsys.readouterr().out
    assert re.fullmatch(r"lab ends at \d{4}-\d\d-\d\d \d\d:\d\d UTC\. .*stop\.\n", said)


def test_server_that_is_gone_is_one_sentence(at, capsys):
    assert at("exec", "lab", "web", "--", "id", url="http://127.0.0.1:9") == 1

    error = capsys.readouterr().err
    assert error.startswith("Error: http://127.0.0.1:9 does not answer: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "form",
    [
        *(
            "exec",
            "push",
            "fetch",
            "power",
            "snapshot",
            "up",
            "down",
            "generate-artefacts",
        ),
        *(
            "clear-artefacts",
            "recreate",
            "delete",
            "extend",
            "at-end",
            "protect",
            "lift",
            "restore",
        ),
    ],
)
def test_every_option_is_explained(form: str, capsys):
    with pytest.raises(SystemExit):
        command_line.main(["http://server", form, "--help"])

    text = capsys.readouterr().out
    entries = re.split(r"\n  (?=\S)", text.partition("positional arguments:")[2])
    assert all(re.search(r"\S(?:  +|\n +)\S", entry) for entry in entries[1:]), text


def test_power_verb_is_sent_with_its_guests(run, monkeypatch):
    code = run("pause", "lab", "web-*", verb="power")
    monkeypatch.setattr(FakeServer, "status", "failed")
    failed = run("pause", "lab", "web-*", verb="power")

    assert FakeServer.asked == ("lab", {"verb": "pause", "selection": "web-*"})
    assert (code, failed) == (0, 1)


def test_act_on_a_snapshot_is_sent_with_its_options(run):
    words = ("restore", "lab", "web", "base", "--before", "now")

    assert run(*words, verb="snapshot") == 0
    assert FakeServer.asked == (
        "lab",
        {
            "verb": "restore",
            "guest": "web",
            "name": "base",
            "description": "",
            "before": "now",
            "children": False,
            "title": "",
        },
    )


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("create", "lab", "base", "--all"), "base"),
        (("create", "lab", "--all", "base"), "base"),
        (("restore", "lab", "--all"), ""),
    ],
)
def test_group_snapshot_is_asked_for_without_a_guest(run, words, name):
    assert run(*words, verb="snapshot") == 0

    asked = FakeServer.asked[1]
    assert (asked["verb"], asked["guest"], asked["name"]) == (words[0], "@all", name)


@pytest.mark.parametrize(
    "words",
    [
        ("create", "lab", "web"),
        ("create", "lab", "--all"),
        ("delete", "lab", "--all"),
        ("restore", "lab", "web", "base", "--all"),
    ],
)
def test_missing_word_of_a_snapshot_is_one_sentence(run, capsys, words):
    assert run(*words, verb="snapshot") == 1
    assert capsys.readouterr().err.startswith("Error: W")


def test_guest_is_saved_as_an_image(run):
    assert run("save", "lab", "web", "base", "--shut-down", verb="image") == 0

    wanted = {"guest": "web", "name": "base", "shut_down": True}
    assert FakeServer.asked == ("lab", wanted)


@pytest.mark.parametrize("disks", [{}, {"disks": True}])
def test_testbed_is_copied(run, disks: Frame):
    assert run("lab", "two", *(["--disks"] if disks else []), verb="copy") == 0

    assert FakeServer.asked == ("lab", {"name": "two"} | disks)


def test_images_are_listed_and_only_an_own_one_is_deleted(run, capsys):
    assert run("list", verb="image") == 0
    listed = capsys.readouterr().out
    assert run("delete", "base", "--yes", verb="image") == 0
    assert FakeServer.asked == ("", {"deleted": 3})
    assert run("delete", "other", verb="image") == 1

    first, second = listed.splitlines()
    assert first.startswith("base of mark, 1.0 MiB, shared with all, sha256 abab")
    assert second.startswith("base of olive, 1.0 MiB, sha256 abab")
    assert "You have no image other." in capsys.readouterr().err


def test_snapshots_are_listed_as_trees(run, capsys):
    assert run("list", "lab", verb="snapshot") == 0
    every = capsys.readouterr().out
    assert run("list", "lab", "--all", verb="snapshot") == 0
    of_all = capsys.readouterr().out

    assert of_all == "all, all guests, then, without db: words\n"
    assert every == of_all + (
        "web on main:\n"
        "  all, then, running, 1.0 MiB\n"
        "    next (current), later, the disk alone\n"
    )


def test_unknown_power_verb_is_refused_with_the_known_ones(run, capsys):
    with pytest.raises(SystemExit):
        run("up", "lab", "web", verb="power")

    assert "shut-down" in capsys.readouterr().err
