"""`testbed ssh` starts this machine's ssh with the way and the keys of the server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from orchestration.errors import TestbedError
from orchestration.project.host_keys import pin_key
from orchestration.project.keys import generate_key_pair
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.guests.ssh_files import folder_of, write_files
from testbed.models import Testbed
from testbed.ssh.keys import add_key
from tests.testbed.client.terminal.conftest import Testbed as Command

Done = subprocess.CompletedProcess[str]
WAY = {
    "guest": "web",
    "address": "10.0.0.2",
    "user": "ubuntu",
    "host_key": "ssh-ed25519 AAAA",
    "jump_host": "host-b",
    "jump": "testbed-jump@192.0.2.2:2222",
    "jump_host_key": "ssh-ed25519 BBBB",
    "command": "",
}
TRANSACTIONS = pytest.mark.django_db(transaction=True)


def read_by_ssh(config: Path, name: str) -> dict[str, str]:
    words = ["ssh", "-G", "-F", str(config), name]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def line_of_key() -> str:
    return " ".join(generate_key_pair("").public_line.split()[:2])


@pytest.fixture
def ssh(
    generated: Testbed, live_server: LiveServer, token: str, tmp_path: Path
) -> Callable[..., Done]:
    """Run `testbed ssh` with an `ssh` that prints its words."""
    pin_key(generated.project, "db", line_of_key())
    programs = tmp_path / "programs"
    programs.mkdir()
    fake = programs / "ssh"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 7\n')
    fake.chmod(0o700)
    given = {"TESTBED_TOKEN": token, "TESTBED_SERVER": live_server.url}
    root = Path(__file__).parents[5]
    usual = {"PATH": f"{programs}", "PYTHONPATH": str(root)}

    def run(*words: str, **more: str) -> Done:
        start = [sys.executable, "-m", "testbed.client.terminal.program", "ssh"]
        return subprocess.run(
            [*start, "--project-name", "olive/lab", *words],
            env=os.environ | usual | given | more,
            capture_output=True,
            text=True,
        )

    return run


@TRANSACTIONS
def test_ssh_of_this_machine_gets_the_files_and_the_command(
    ssh: Callable[..., Done], owner: User, live_server: LiveServer
) -> None:
    add_key(owner, "laptop", generate_key_pair("").public_line)

    done = ssh("db", "--", "ls", "-l", "--all")

    folder = folder_of(live_server.url, "olive/lab", "db")
    words = ["-F", str(folder / "config"), "--", "guest", "ls", "-l", "--all"]
    assert done.stdout.splitlines() == words, done.stderr
    assert done.returncode == 7
    assert "db.guest.testbed ssh-ed25519" in (folder / "known_hosts").read_text()
    assert folder.stat().st_mode & 0o777 == 0o700


@TRANSACTIONS
def test_user_without_a_key_at_the_server_learns_where_to_add_one(
    ssh: Callable[..., Done], folder: Path
) -> None:
    refused = ssh("db")
    (folder / "id").touch()
    tried = ssh("db", "-i", "id")

    assert refused.returncode == 3
    assert "You have no SSH key at http" in refused.stderr
    assert "Add one" in refused.stderr
    assert tried.returncode == 7


@TRANSACTIONS
def test_machine_without_ssh_says_so(ssh: Callable[..., Done], owner: User) -> None:
    add_key(owner, "laptop", generate_key_pair("").public_line)

    done = ssh("db", PATH="/nowhere")

    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no ssh on this machine.")


@TRANSACTIONS
def test_guest_without_a_way_or_a_host_key_is_refused(
    signed_in: Command,
    generated: Testbed,
    owner: User,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_key(owner, "laptop", generate_key_pair("").public_line)

    assert signed_in("ssh", "none", "--project-name", "lab") == 3
    assert "There is no way to none by SSH." in capsys.readouterr().err
    assert signed_in("ssh", "db", "--project-name", "lab") == 3
    assert "db has not reported its host key." in capsys.readouterr().err
    assert signed_in("ssh", "db", "--project-name", "lab", "--json") == 0
    assert json.loads(capsys.readouterr().out)["guest"] == "db"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh")
def test_ssh_reads_the_way_and_trusts_the_pinned_keys_alone(tmp_path: Path) -> None:
    config = write_files(WAY, tmp_path / "a b%h", tmp_path / "my key")

    guest, jump = read_by_ssh(config, "guest"), read_by_ssh(config, "jump")
    assert (guest["hostname"], guest["user"]) == ("10.0.0.2", "ubuntu")
    file = str(config).replace("%", "%%")
    assert guest["proxycommand"] == f"ssh -F \"{file}\" -W '[%h]:%p' jump"
    assert (jump["hostname"], jump["port"]) == ("192.0.2.2", "2222")
    assert jump["user"] == "testbed-jump"
    for read in (guest, jump):
        assert read["stricthostkeychecking"] == "true"
        assert read["globalknownhostsfile"] == "none"
        assert "my key" in read["identityfile"]
        assert "a b%h/known_hosts" in read["userknownhostsfile"]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh")
def test_host_without_a_pinned_key_is_compared_by_the_user(tmp_path: Path) -> None:
    config = write_files(WAY | {"jump_host_key": ""}, tmp_path / "files", None)

    assert read_by_ssh(config, "jump")["stricthostkeychecking"] == "ask"
    assert read_by_ssh(config, "guest")["stricthostkeychecking"] == "true"


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("address", "10.0.0.2\n  ProxyCommand touch x"),
        ("address", "-oProxyCommand=x"),
        ("user", "a b"),
        ("guest", "web\nMatch exec x"),
        ("jump", "root@host\nLocalCommand x"),
        ("jump", "root@-x"),
        ("jump_host", "*"),
        ("host_key", "ssh-ed25519 AAAA\n* ssh-ed25519 CCCC"),
        ("jump_host_key", "@cert-authority * ssh-ed25519 AAAA"),
    ],
)
def test_words_of_a_server_that_are_no_way_are_not_written(
    tmp_path: Path, key: str, word: str
) -> None:
    with pytest.raises(TestbedError, match="names no way"):
        write_files(WAY | {key: word}, tmp_path / "files", None)

    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize("name", ['a"b', "a$b", "a`b", "a\\b", "a\nb"])
def test_path_that_a_file_of_ssh_cannot_hold_is_wrong_use(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(WrongUse, match="has signs"):
        write_files(WAY, tmp_path / name, None)


def test_key_that_is_not_known_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="has not reported"):
        write_files(WAY | {"host_key": ""}, tmp_path, None)
