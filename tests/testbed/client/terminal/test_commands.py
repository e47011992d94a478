"""The commands against a real server: folders are synchronised, runs are started."""

import json
import os
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from pytest_django.live_server_helper import LiveServer

from testbed.client.terminal.program import former, run
from testbed.models import Host, Run, Testbed
from tests.testbed.client.terminal.conftest import Testbed as Command
from tests.testbed.conftest import YAML, Doors

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(folder: Path, hosts: tuple[Host, Host], doors: Doors, settings, tmp_path: Path):
    """A folder with a YAML and a script, at a server that rehearses."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.RUNTIME_DIR = tmp_path / "runtime"
    (folder / "kvm-compose.yaml").write_text(YAML)
    (folder / "a.sh").write_text("echo a\n")
    return folder


def stored(name: str) -> Path:
    return Testbed.objects.get(name="lab").project.files / name


def test_up_makes_the_testbed_sends_the_folder_and_starts_the_planned_run(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = signed_in("up", "--detach", "--json")

    said = capsys.readouterr()
    assert code == 0, said.err
    assert json.loads(said.out) == {"run": Run.objects.get().pk, "testbed": "olive/lab"}
    assert Run.objects.get().command == "up"
    assert stored("a.sh").read_text() == "echo a\n"
    assert stored("kvm-compose.yaml").read_text() == YAML
    assert not stored(".testbed").exists()


def test_only_changed_files_are_sent(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0
    (lab / "b.sh").write_text("echo b\n")
    (lab / "a.sh").unlink()
    capsys.readouterr()

    assert signed_in("sync", "-v") == 0

    said = capsys.readouterr().err
    assert "sent b.sh" in said
    assert "removed a.sh" in said
    assert "kvm-compose.yaml" not in said
    assert stored("b.sh").is_file()
    assert not stored("a.sh").exists()


def test_large_file_arrives_in_parts(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = os.urandom(1024) * 17 * 1024
    (lab / "disk.img").write_bytes(disk)

    assert signed_in("up", "--detach") == 0

    said = capsys.readouterr().err
    assert "disk.img: 0 B of 17.0 MiB arrived." in said
    assert stored("disk.img").read_bytes() == disk


def test_file_that_was_edited_on_the_server_is_shown_and_not_overwritten(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0
    stored("a.sh").write_text("echo server\n")
    (lab / "a.sh").write_text("echo folder\n")
    capsys.readouterr()

    code = signed_in("up")

    said = capsys.readouterr().err
    assert code == 3
    assert "a.sh: edited on the server and here" in said
    assert "testbed sync --take PATH" in said
    assert stored("a.sh").read_text() == "echo server\n"
    assert not Run.objects.exists()


def test_conflict_is_decided_for_the_folder(signed_in: Command, lab: Path) -> None:
    assert signed_in("sync") == 0
    stored("a.sh").write_text("echo server\n")
    (lab / "a.sh").write_text("echo folder\n")

    assert signed_in("sync", "--send", "a.sh") == 0

    assert stored("a.sh").read_text() == "echo folder\n"
    assert signed_in("sync") == 0


def test_path_outside_the_folder_is_not_taken(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0

    assert signed_in("sync", "--take", "../outside") != 0
    assert "leaves the testbed's folder" in capsys.readouterr().err


def test_folder_is_not_sent_to_another_testbed(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0

    assert signed_in("sync", "--project-name", "other") == 3
    assert "This folder belongs to olive/lab" in capsys.readouterr().err


def test_yaml_with_errors_starts_nothing(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "kvm-compose.yaml").write_text(YAML.replace("bridge: lan", "bridge: none"))

    code = signed_in("up")

    assert code == 1
    assert "line 3:" in capsys.readouterr().err
    assert not Run.objects.exists()


def test_plan_and_diff_change_nothing(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0
    (lab / "a.sh").write_text("echo b\n")
    capsys.readouterr()

    assert signed_in("plan") == 0
    assert "Start 2 guests" in capsys.readouterr().out
    assert signed_in("diff") == 0
    assert capsys.readouterr().out == "file a.sh\n2 guests, all new\n"
    assert stored("a.sh").read_text() == "echo a\n"


def test_status_lists_the_guests_of_the_folder(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0
    capsys.readouterr()

    assert signed_in("status") == 0
    assert "olive/lab: " in capsys.readouterr().err
    assert signed_in("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["testbed"] == "olive/lab"


def test_testbeds_are_listed_shown_shared_and_destroyed(
    signed_in: Command,
    lab: Path,
    member: User,
    capsys: pytest.CaptureFixture[str],
) -> None:
    course = Group.objects.create(name="course")
    course.user_set.set(User.objects.filter(username__in=["olive", "mark"]))
    assert signed_in("testbeds", "create", "ring") == 0
    assert signed_in("testbeds", "create", "ring") == 3
    assert signed_in("testbeds", "share", "ring", "mark", "--role", "viewer") == 0
    capsys.readouterr()
    assert signed_in("testbeds", "share", "ring", "mark", "--role", "editor") == 0
    assert capsys.readouterr().out == "mark\teditor\n"
    assert signed_in("testbeds", "share", "ring", "mark", "--remove") == 0
    assert signed_in("testbeds", "list", "-o", "wide") == 0
    assert "olive/ring" in capsys.readouterr().out
    assert signed_in("testbeds", "info", "ring") == 0
    assert signed_in("testbeds", "destroy", "ring", "--yes") == 0
    assert not Testbed.objects.exists()


def test_testbed_is_copied_and_given_to_a_user_with_a_share(
    signed_in: Command,
    lab: Path,
    member: User,
    capsys: pytest.CaptureFixture[str],
) -> None:
    course = Group.objects.create(name="course")
    course.user_set.set(User.objects.filter(username__in=["olive", "mark"]))
    assert signed_in("testbeds", "create", "ring") == 0
    capsys.readouterr()

    assert signed_in("testbeds", "copy", "ring", "twin", "--json") == 0
    assert json.loads(capsys.readouterr().out)["testbed"] == "olive/twin"
    assert signed_in("testbeds", "copy", "ring", "twin") == 3
    assert signed_in("testbeds", "copy", "ring", "third", "--disks") == 3
    assert "Copy it without the disks." in capsys.readouterr().err
    assert signed_in("testbeds", "copy", "none", "other") == 3

    assert signed_in("testbeds", "transfer", "ring", "mark") == 3
    assert "Share it with the user first." in capsys.readouterr().err
    assert signed_in("testbeds", "share", "ring", "mark", "--role", "viewer") == 0
    words = ("testbeds", "transfer", "ring", "mark", "--former-role", "editor")
    assert signed_in(*words) == 0
    assert "olive/ring is mark/ring now." in capsys.readouterr().err
    owners = Testbed.objects.values_list("name", "owner__username")
    assert set(owners) == {("ring", "mark"), ("twin", "olive")}


def test_option_of_a_program_in_guests_is_told_its_place(
    signed_in: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("exec", "@all", "ls", "-l") == 2

    assert "Write `--` before a command" in capsys.readouterr().err


def test_testbed_that_is_not_there_is_named_with_the_next_step(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("status") == 3

    said = capsys.readouterr().err
    assert "There is no testbed olive/lab, or not what you named of it." in said
    assert "`testbed up` makes the testbed of a folder." in said


def test_runs_are_listed_and_cancelled(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("runs") == 3
    assert signed_in("sync") == 0
    assert signed_in("runs") == 0
    assert signed_in("cancel") == 2
    assert signed_in("up", "--detach") == 0
    capsys.readouterr()

    assert signed_in("runs") == 0
    assert "\tolive\t" in capsys.readouterr().out
    assert signed_in("cancel") == 0
    said = capsys.readouterr().err
    assert "cancelled" in said
    assert "Nothing was cancelled" not in said
    assert signed_in("cancel") == 0
    assert "Nothing was cancelled: the run was over before." in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "@all", "--", "true"),
        ("push", "@all", "a.sh", "/tmp/a.sh"),
        ("fetch", "@all", "/tmp/a"),
        ("power", "reboot", "@all"),
        ("snapshot", "create", "-n", "web", "-s", "base"),
        ("down",),
    ],
)
def test_command_that_needs_guests_is_refused_before_there_are_some(
    signed_in: Command,
    lab: Path,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert signed_in("sync") == 0
    capsys.readouterr()

    assert signed_in(*words) == 3
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "@all"),
        ("exec", "@all", "--env", "A", "--", "true"),
        ("exec", "@all", "--shell", "--file", "a", "--", "true"),
        ("snapshot", "create", "-n", "web"),
        ("snapshot", "create", "-a", "-n", "web", "-s", "x"),
        ("extend", "--hours", "1", "--until", "2030-01-01T00:00Z"),
        ("logs", "-f", "--host", "main"),
        ("power", "explode", "@all"),
    ],
)
def test_words_that_do_not_go_together_are_wrong_use(
    signed_in: Command, lab: Path, words: tuple[str, ...]
) -> None:
    assert signed_in("up", "--detach") == 0

    assert signed_in(*words) == 2


def test_hosts_and_snapshots_are_listed(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("sync") == 0
    assert signed_in("hosts", "-o", "wide") == 0
    assert "main (main)" in capsys.readouterr().out
    assert signed_in("snapshot", "list") == 0
    assert signed_in("snapshot", "list", "--json") == 0


def test_testbed_of_another_user_is_not_there(
    signed_in: Command, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed_in("status", "--project-name", "mark/lab") == 3
    assert "There is no testbed mark/lab" in capsys.readouterr().err


def test_former_program_names_the_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["kvm-compose", "init", "--list"])

    with pytest.raises(SystemExit) as ended:
        former()

    said = capsys.readouterr()
    assert ended.value.code == 0
    assert said.err == "`kvm-compose` is `testbed` now.\n"
    assert "quickstart" in said.out


def test_shell_gets_its_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "bash"]) == 0
    assert "_TESTBED_COMPLETE" in capsys.readouterr().out


def test_token_of_the_environment_is_used_by_programs(
    live_server: LiveServer,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TESTBED_TOKEN", token)

    code = run(["testbeds", "list", "--server", live_server.url, "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == {"items": []}
